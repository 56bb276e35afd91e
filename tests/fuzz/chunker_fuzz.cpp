// libFuzzer target of segment_prompt(): any bytes, any tokenization, any spans. Build it with
//   clang++ -std=c++20 -g -fsanitize=fuzzer,address,undefined -I. tests/fuzz/chunker_fuzz.cpp
//       tests/unit/index/{toy_tokenizer,segment_invariants}.cpp index/*.cpp -lxxhash
// and start it with tests/fuzz/corpus/chunker. unit_index replays that corpus.
//
// Input: tokens_min - 1, tokens_max - tokens_min in fours, tokenization, number of spans modulo 8;
// then role, gap and length (in 16 bytes each) of every span; the rest is the prompt's text.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "index/chunker.h"
#include "index/registered_chunks.h"
#include "tests/unit/index/segment_invariants.h"
#include "tests/unit/index/toy_tokenizer.h"

namespace {

using namespace spolia;

struct Input {
    const uint8_t* data;
    size_t size;

    uint8_t take() {
        if (size == 0) return 0;
        --size;
        return *data++;
    }
};

std::vector<TextSpan> take_spans(Input& input) {
    std::vector<TextSpan> spans(input.take() % 8);
    uint32_t at = 0;
    for (TextSpan& span : spans) {
        const SegmentRole role = static_cast<SegmentRole>(input.take() % 4);
        const uint32_t begin = at + input.take();
        const uint32_t end = begin + 16u * input.take();
        span = {begin, end, role};
        at = end;
    }
    return spans;
}

void clamp_spans(std::vector<TextSpan>& spans, size_t text_bytes) {
    const uint32_t end = static_cast<uint32_t>(text_bytes);
    for (TextSpan& span : spans) {
        span.begin = std::min(span.begin, end);
        span.end = std::min(span.end, end);
    }
}

TokenizedText take_prompt(Input& input, uint8_t mode) {
    const std::string text(reinterpret_cast<const char*>(input.data), input.size);
    return mode % 2 == 0 ? spolia::testing::tokenize(text, mode % 4 == 2)
                         : spolia::testing::tokenize_at_random(text, mode);
}

// Two overlapping stretches of the prompt itself, so that they are found.
std::vector<std::vector<Token>> make_registered(const TokenizedText& prompt, uint8_t mode) {
    std::vector<std::vector<Token>> chunks;
    const size_t n = prompt.tokens.size();
    if (mode < 64 || n < 4) return chunks;
    const auto begin = prompt.tokens.begin() + static_cast<ptrdiff_t>(mode % n / 2);
    chunks.emplace_back(begin, begin + static_cast<ptrdiff_t>(n / 4));
    chunks.emplace_back(begin, begin + static_cast<ptrdiff_t>(n / 3));
    return chunks;
}

void check(const std::string& broken) {
    if (broken.empty()) return;
    std::fprintf(stderr, "chunker_fuzz: %s\n", broken.c_str());
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Input input{data, size};
    ChunkerOptions options;
    options.tokens_min = 1 + input.take() % 64;
    options.tokens_max = options.tokens_min + 4 * input.take();
    const uint8_t mode = input.take();
    std::vector<TextSpan> spans = take_spans(input);
    const TokenizedText prompt = take_prompt(input, mode);
    clamp_spans(spans, prompt.text.size());

    const std::vector<std::vector<Token>> chunks = make_registered(prompt, mode);
    RegisteredChunkSet::Builder builder;
    for (const std::vector<Token>& chunk : chunks) {
        if (!builder.add(chunk).ok()) std::abort();
    }
    const RegisteredChunkSet registered = std::move(builder).build();
    const KeyScope scope{{1, 2}, "salt"};
    const std::vector<Segment> segments =
        segment_prompt(prompt, spans, scope, options, chunks.empty() ? nullptr : &registered);
    check(spolia::testing::broken_promise(prompt, spans, scope, options, chunks, segments));
    return 0;
}
