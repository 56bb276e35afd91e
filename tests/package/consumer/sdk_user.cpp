// Uses an installed Spolia through its public headers: answers from a collection.
//
//     sdk_user MODEL.gguf CACHE_FOLDER
#include <cstdio>

#include <spolia/broker.h>
#include <spolia/prompt_template.h>

namespace {

spolia::Status answer(const spolia::BrokerOptions& options) {
    const auto broker = spolia::Broker::open(options);
    if (!broker.ok()) return broker.error();
    const auto collection = (*broker)->open_collection("notes");
    if (!collection.ok()) return collection.error();
    const auto report = (*collection)->add_documents({{"otters", "The otter swims."}});
    if (!report.ok()) return report.error();
    const auto chunks = (*collection)->retrieve("Who swims?", 1);
    if (!chunks.ok()) return chunks.error();
    if (chunks->empty()) return spolia::invalid("nothing was retrieved");
    spolia::Prompt prompt;
    prompt.messages = {{"user", {"Who swims?"}}};
    prompt.tokens_max = 4;
    if (const auto put = spolia::add_context(prompt, *chunks); !put.ok()) return put;
    if (const auto removed = (*broker)->remove_collection("notes"); !removed.ok()) return removed;
    const auto answer = (*broker)->ask(prompt);
    return answer.ok() ? spolia::Status() : answer.error();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    spolia::BrokerOptions options;
    options.model_path = argv[1];
    options.cache_directory = argv[2];
    options.embedding_model = argv[1];  // any model makes vectors
    options.n_threads = 1;
    const spolia::Status status = answer(options);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.error().message.c_str());
    return status.ok() ? 0 : 1;
}
