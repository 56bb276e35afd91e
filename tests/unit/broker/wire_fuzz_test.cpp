#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

// Aborts where a promise is broken.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace spolia {
namespace {

int run(const std::string& input) {
    return LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> corpus() {
    std::vector<std::string> inputs;
    const std::filesystem::path folder = std::filesystem::path(SPOLIA_FUZZ_CORPUS) / "wire";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        std::ifstream file(entry.path(), std::ios::binary);
        inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return inputs;
}

TEST(WireFuzz, ReplaysTheCorpusForEveryReader) {
    const std::vector<std::string> inputs = corpus();
    ASSERT_GE(inputs.size(), 10u);
    for (const std::string& body : inputs) {
        for (char reader = 0; reader < 6; ++reader) EXPECT_EQ(run(reader + body), 0) << body;
        for (size_t size = 0; size < body.size(); ++size) {
            EXPECT_EQ(run(body[0] + body.substr(0, size)), 0) << body.substr(0, size);
        }
    }
}

TEST(WireFuzz, SurvivesChangedBytes) {
    const std::vector<std::string> inputs = corpus();
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937 random(seed);
    constexpr std::string_view kTelling = "{}[]\",:\\0-9.eEu\xff\xc0\xed n";
    const auto below = [&](size_t bound) { return random() % bound; };
    for (int i = 0; i < 20'000; ++i) {
        std::string input = static_cast<char>(below(6)) + inputs[below(inputs.size())];
        for (size_t change = 0; change <= below(4); ++change) {
            const size_t at = 1 + below(input.size() - 1);
            switch (below(3)) {
                case 0: input[at] = kTelling[below(kTelling.size())]; break;
                case 1: input.erase(at, 1 + below(8)); break;
                default: input.insert(at, 1, kTelling[below(kTelling.size())]); break;
            }
            if (input.size() < 2) break;
        }
        EXPECT_EQ(run(input), 0);
    }
}

}  // namespace
}  // namespace spolia
