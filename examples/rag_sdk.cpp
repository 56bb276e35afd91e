// Retrieval and answers in one process: documents are taken into a collection and indexed, the best
// chunks for a question are found in it and put into the prompt, and their KV is reused. (For a
// program that finds its documents itself, see rag_in_process.cpp.)
//
//     rag_sdk MODEL.gguf CACHE_FOLDER QUESTION FILE_OR_FOLDER ...
//     rag_sdk model.gguf ~/.cache/spolia/blocks 'How are chunks cut?' README.md docs
//
// What `spolia ingest ... --collection rag_sdk --cache-dir CACHE_FOLDER` makes is the same
// collection; what is there already is not read again.

#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <spolia/broker.h>

namespace {

int fail(const spolia::Error& error) {
    std::fprintf(stderr, "rag_sdk: %s\n", error.message.c_str());
    return 1;
}

spolia::Result<spolia::IngestReport> ingest(spolia::Collection& collection,
                                            const std::vector<std::filesystem::path>& paths) {
    // What a program knows itself goes in beside files.
    const auto added = collection.add_documents(
        {{"note", "This collection was made by the example rag_sdk, which answers questions."}});
    if (!added.ok()) return added.error();
    return collection.ingest(paths, {.progress = {}, .warn = [](const std::string& what) {
                                         std::fprintf(stderr, "rag_sdk: %s\n", what.c_str());
                                     }});
}

spolia::Result<spolia::Answer> ask(spolia::Broker& broker, const std::string& instructions,
                                   const std::string& question,
                                   const std::vector<spolia::ScoredChunk>& chunks) {
    spolia::Prompt prompt;
    prompt.messages = {{"system", {instructions}}, {"user", {question}}};
    prompt.tokens_max = 24;
    if (const auto put = spolia::add_context(prompt, chunks); !put.ok()) return put.error();
    const auto answer = broker.ask(prompt, [](std::string_view piece) {
        std::fwrite(piece.data(), 1, piece.size(), stdout);
        return true;
    });
    if (!answer.ok()) return answer;
    const spolia::Receipt& receipt = answer->receipt;
    std::printf(
        "\n  first token %.1f ms; %d prompt tokens: %d exact, %d reused, %d recomputed, "
        "%d computed\n",
        receipt.ttft_ms, receipt.n_prompt, receipt.n_exact, receipt.n_shifted, receipt.n_blended,
        receipt.n_computed);
    return answer;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "usage: %s MODEL.gguf CACHE_FOLDER QUESTION FILE_OR_FOLDER ...\n",
                     argv[0]);
        return 2;
    }
    const std::string question = argv[3];
    spolia::BrokerOptions options;
    options.model_path = argv[1];
    options.cache_directory = argv[2];
    options.fidelity = spolia::Fidelity::kFast;
    options.policy = "epic";
    const auto broker = spolia::Broker::open(options);
    if (!broker.ok()) return fail(broker.error());
    const auto collection = (*broker)->open_collection("rag_sdk");
    if (!collection.ok()) return fail(collection.error());

    const auto report = ingest(**collection, {argv + 4, argv + argc});
    if (!report.ok()) return fail(report.error());
    std::printf("%zu added, %zu replaced, %zu unchanged, %zu removed, %zu failed\n",
                report->n_added, report->n_replaced, report->n_unchanged, report->n_removed,
                report->n_failed);

    const auto chunks = (*collection)->retrieve(question, 2);
    if (!chunks.ok()) return fail(chunks.error());
    for (const spolia::ScoredChunk& chunk : *chunks) {
        std::printf("%.4f %s: %s%s\n", chunk.score, chunk.document.c_str(), chunk.heading.c_str(),
                    chunk.warm ? " (warm)" : "");
    }
    // Cold where no run before has left the chunks' KV in the folder.
    std::printf("first: ");
    const auto first = ask(**broker, "Answer from the documents.", question, *chunks);
    if (!first.ok()) return fail(first.error());

    // In place of waiting until it is done in idle time.
    const auto encoded = (*collection)->encode_ahead();
    if (!encoded.ok()) return fail(encoded.error());
    std::printf("%zu chunks encoded, %zu were warm\n", encoded->n_encoded, encoded->n_warm);
    // Behind other instructions nothing of the prompt is an equal prefix.
    std::printf("warm: ");
    const auto warm = ask(**broker, "Be brief.", question, *chunks);
    return warm.ok() ? 0 : fail(warm.error());
}
