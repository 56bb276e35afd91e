#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "index/chunker.h"
#include "index/fingerprint.h"
#include "index/hashed_embedder.h"
#include "index/registered_chunks.h"
#include "index/token_alignment.h"

namespace {

using namespace spolia;

constexpr size_t kTextBytes = 100'000;
const KeyScope kScope{{1, 2}, "tenant"};

std::vector<Token> random_tokens(size_t n, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<Token> tokens(n);
    for (Token& token : tokens) token = static_cast<Token>(random() % 150'000);
    return tokens;
}

// Words, sentences, paragraphs; `paragraphs` false: one line of words.
std::string make_text(bool paragraphs) {
    std::mt19937_64 random(1);
    std::string text;
    while (text.size() < kTextBytes) {
        text += "stonework" + std::to_string(random() % 1000);
        const uint64_t draw = random() % 100;
        text += !paragraphs ? " " : draw < 2 ? ".\n\n" : draw < 10 ? ". " : " ";
    }
    return text;
}

// A token every four bytes.
TokenizedText tokenize(std::string text) {
    TokenizedText prompt;
    for (size_t at = 0; at < text.size(); at += 4) {
        prompt.byte_begin.push_back(static_cast<uint32_t>(at));
        prompt.tokens.push_back(static_cast<Token>(hash_text(text.substr(at, 4)).low % 150'000));
    }
    prompt.byte_begin.push_back(static_cast<uint32_t>(text.size()));
    prompt.text = std::move(text);
    return prompt;
}

RegisteredChunkSet register_chunks(int n, size_t n_tokens) {
    RegisteredChunkSet::Builder builder;
    for (int i = 0; i < n; ++i) {
        if (!builder.add(random_tokens(n_tokens, static_cast<uint64_t>(i))).ok()) std::abort();
    }
    return std::move(builder).build();
}

void chunk_keys(benchmark::State& state) {
    const std::vector<Token> tokens = random_tokens(static_cast<size_t>(state.range(0)), 1);
    for (auto _ : state) benchmark::DoNotOptimize(chunk_key(kScope, tokens));
    state.SetBytesProcessed(state.iterations() * state.range(0) * int64_t{sizeof(Token)});
}
BENCHMARK(chunk_keys)->Arg(32)->Arg(256)->Arg(1024);

void segment_text(benchmark::State& state) {
    const TokenizedText prompt = tokenize(make_text(state.range(0) != 0));
    const std::vector<TextSpan> spans = {
        {0, static_cast<uint32_t>(prompt.text.size()), SegmentRole::kChunk}};
    const RegisteredChunkSet registered = register_chunks(1000, 256);
    const RegisteredChunks* known = state.range(1) != 0 ? &registered : nullptr;
    for (auto _ : state) {
        benchmark::DoNotOptimize(segment_prompt(prompt, spans, kScope, ChunkerOptions{}, known));
    }
    state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(prompt.text.size()));
}
BENCHMARK(segment_text)->ArgNames({"paragraphs", "registered"})->ArgsProduct({{0, 1}, {0, 1}});

void match_registered(benchmark::State& state) {
    const RegisteredChunkSet registered = register_chunks(static_cast<int>(state.range(0)), 256);
    std::vector<Token> tokens = random_tokens(10'000, 1 << 20);
    const std::vector<Token> known = random_tokens(256, 3);
    std::copy(known.begin(), known.end(), tokens.begin() + 5'000);
    for (auto _ : state) {
        int32_t found = 0;
        for (size_t at = 0; at < tokens.size(); ++at) {
            found += registered.match(std::span(tokens).subspan(at));
        }
        if (found != 256) state.SkipWithError("the registered chunk was not found");
    }
    state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(tokens.size()));
}
BENCHMARK(match_registered)->Arg(10)->Arg(1000)->Arg(10'000);

// Two chunks of 512 tokens; of a hundred tokens so many are others.
void align_chunks(benchmark::State& state) {
    const std::vector<Token> theirs = random_tokens(512, 1);
    std::vector<Token> ours = theirs;
    std::mt19937_64 random(2);
    for (Token& token : ours) {
        if (static_cast<int64_t>(random() % 100) < state.range(0)) token = 150'000;
    }
    for (auto _ : state) benchmark::DoNotOptimize(align_tokens(ours, theirs, 8));
}
BENCHMARK(align_chunks)->Arg(1)->Arg(5)->Arg(20)->Arg(100);

// 2 KiB of words of a few letters, some of which come often.
std::string make_chunk() {
    std::mt19937_64 random(1);
    std::vector<std::string> words(2000);
    for (std::string& word : words) {
        for (uint64_t n = 2 + random() % 9; n > 0; --n)
            word += static_cast<char>('a' + random() % 26);
    }
    std::string text;
    while (text.size() < 2048) text += words[(random() % 2000) * (random() % 2000) / 2000] + ' ';
    return text;
}

void embed_chunk(benchmark::State& state) {
    const auto embedder = make_hashed_embedder();
    const std::string text = make_chunk();
    const std::vector<std::string_view> texts = {text};
    for (auto _ : state) benchmark::DoNotOptimize(embedder->embed(texts));
    state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(embed_chunk);

}  // namespace
