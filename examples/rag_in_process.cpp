// Documents that the program has found itself: they are registered once, then asked about in any
// order, in this process. (With a collection that is retrieved from, see rag_sdk.cpp.)
//
//     rag_in_process MODEL.gguf [DOCUMENT.txt ...]

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <spolia/broker.h>

namespace {

std::string read_file(const char* path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> sample_documents() {
    std::vector<std::string> documents;
    for (const char* animal : {"otter", "heron", "beaver", "salmon"}) {
        std::string text = "Notes on the " + std::string(animal) + ".\n";
        for (int day = 1; day <= 12; ++day) {
            text += "On day " + std::to_string(day) + " the " + animal + " was seen at the river. ";
        }
        documents.push_back(text);
    }
    return documents;
}

void print_receipt(const char* title, const spolia::Receipt& receipt) {
    std::printf(
        "\n%-10s first token %7.1f ms; %d prompt tokens: %d exact, %d reused, %d recomputed, "
        "%d computed\n",
        title, receipt.ttft_ms, receipt.n_prompt, receipt.n_exact, receipt.n_shifted,
        receipt.n_blended, receipt.n_computed);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: %s MODEL.gguf [DOCUMENT.txt ...]\n", argv[0]);
        return 2;
    }
    spolia::BrokerOptions options;
    options.model_path = argv[1];
    auto broker = spolia::Broker::open(options);
    if (!broker) {
        std::fprintf(stderr, "%s\n", broker.error().message.c_str());
        return 1;
    }

    std::vector<std::string> documents;
    for (int i = 2; i < argc; ++i) documents.push_back(read_file(argv[i]));
    if (documents.empty()) documents = sample_documents();
    for (const std::string& document : documents) {
        const auto n_tokens = (*broker)->add_document(document);
        if (!n_tokens.ok()) {
            std::fprintf(stderr, "%s\n", n_tokens.error().message.c_str());
            return 1;
        }
    }

    spolia::Prompt prompt;
    prompt.tokens_max = 32;
    prompt.messages = {{"user", {documents.rbegin(), documents.rend()}}};
    prompt.messages[0].parts.push_back("What was seen at the river?");
    for (const auto fidelity : {spolia::Fidelity::kFast, spolia::Fidelity::kExact}) {
        prompt.fidelity = fidelity;
        const auto answer = (*broker)->ask(prompt, [](std::string_view piece) {
            std::fwrite(piece.data(), 1, piece.size(), stdout);
            return true;
        });
        if (!answer.ok()) {
            std::fprintf(stderr, "%s\n", answer.error().message.c_str());
            return 1;
        }
        print_receipt(fidelity == spolia::Fidelity::kFast ? "fast" : "exact", answer->receipt);
    }
    return 0;
}
