#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "broker/tasks/task_generator.h"
#include "index/outline.h"
#include "reuse/selector.h"

namespace {

using namespace spolia;

constexpr int32_t kChunks = 8;
constexpr int32_t kChunkRows = 260;
constexpr size_t kTokenBytes = 4;

// Eight documents and a question behind them, tokens of four bytes; 2,080 rows under blocks.
struct Prompt {
    Prompt() {
        for (int32_t i = 0; i <= kChunks; ++i) {
            const int32_t begin = i * kChunkRows;
            const TokenSpan rows{begin, i < kChunks ? begin + kChunkRows : begin + 16};
            segments.push_back({i < kChunks ? SegmentRole::kChunk : SegmentRole::kQuery, rows, {}});
            if (i < kChunks) spans.push_back({.rows = rows});
        }
    }

    // Cuts or fills each part to its rows.
    void tokenize(const std::vector<std::string>& texts) {
        for (size_t i = 0; i < segments.size(); ++i) {
            std::string text = texts[i];
            text.resize(static_cast<size_t>(segments[i].span.size()) * kTokenBytes, ' ');
            tokenized.text += text;
        }
        for (size_t at = 0; at <= tokenized.text.size(); at += kTokenBytes) {
            tokenized.byte_begin.push_back(static_cast<uint32_t>(at));
        }
        tokenized.tokens.resize(tokenized.byte_begin.size() - 1);
        outline = outline_prompt(tokenized, segments);
    }

    TokenizedText tokenized;
    std::vector<Segment> segments;
    std::vector<PassiveSpan> spans;
    PromptOutline outline;
};

// Sentences of words drawn by Zipf's law, as in ordinary text.
Prompt make_ordinary() {
    std::mt19937_64 random(1);
    const auto word = [&] {
        const double u = static_cast<double>(random() % 10'000 + 1) / 10'000;
        return "stone" + std::to_string(static_cast<int>(1 / u));
    };
    std::vector<std::string> texts;
    for (int32_t i = 0; i < kChunks; ++i) {
        std::string text;
        while (text.size() < kChunkRows * kTokenBytes) {
            text += word() + (random() % 12 == 0 ? ".\n" : " ");
        }
        texts.push_back(text);
    }
    texts.push_back("What is " + word() + " of " + word() + "?");
    Prompt prompt;
    prompt.tokenize(texts);
    return prompt;
}

// The notes of built-in tasks: short sentences, many links.
Prompt make_notes() {
    TaskOptions options;
    options.kinds = {TaskKind::kCounting};
    options.n_chunks = kChunks;
    options.sentences_per_chunk = 20;
    auto generator = TaskGenerator::create(options);
    if (!generator.ok()) std::abort();
    std::vector<std::string> texts(kChunks + 1);
    // No task has names for all sentences.
    for (int n = 0; n < 2; ++n) {
        const auto task = generator->next();
        if (!task.ok()) std::abort();
        for (size_t i = 0; i < kChunks; ++i) texts[i] += task->chunks[i] + " ";
        texts.back() = task->questions.front().question;
    }
    Prompt prompt;
    prompt.tokenize(texts);
    return prompt;
}

const Prompt& prompt_of(bool notes) {
    static const Prompt kOrdinary = make_ordinary(), kNotes = make_notes();
    return notes ? kNotes : kOrdinary;
}

void build_outline(benchmark::State& state) {
    const Prompt& prompt = prompt_of(state.range(0) != 0);
    for (auto _ : state) {
        benchmark::DoNotOptimize(outline_prompt(prompt.tokenized, prompt.segments));
    }
    state.counters["sentences"] = static_cast<double>(prompt.outline.sentences.size());
}
BENCHMARK(build_outline)->ArgName("notes")->Arg(0)->Arg(1)->Unit(benchmark::kMicrosecond);

std::unique_ptr<Selector> make(const SelectorParams& params) {
    auto selector = make_selector(params, 24);
    if (!selector.ok()) std::abort();
    return std::move(selector).value();
}

void pick(benchmark::State& state, const char* policy) {
    const Prompt& prompt = prompt_of(state.range(0) != 0);
    const auto selector = make({.policy = policy, .check_layer = 2});
    size_t n_rows = 0;
    for (auto _ : state) n_rows = selector->pick({prompt.spans, &prompt.outline}).rows.size();
    state.counters["rows"] = static_cast<double>(n_rows);
}
BENCHMARK_CAPTURE(pick, trace, "trace")
    ->ArgName("notes")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(pick, adaptive, "adaptive")
    ->ArgName("notes")
    ->Arg(0)
    ->Arg(1)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(pick, cacheblend, "cacheblend")
    ->ArgName("notes")
    ->Arg(0)
    ->Unit(benchmark::kMicrosecond);

// Where every row comes into question.
void choose(benchmark::State& state, const char* policy) {
    const auto selector = make({.policy = policy, .check_layer = 2});
    std::mt19937_64 random(1);
    std::vector<int32_t> rows;
    std::vector<float> deviation;
    for (int32_t row = 0; row < kChunks * kChunkRows; ++row) {
        rows.push_back(row);
        deviation.push_back(static_cast<float>(random() % 1000) / 1000);
    }
    const StageView view{rows, deviation, {}, static_cast<int32_t>(rows.size())};
    for (auto _ : state) benchmark::DoNotOptimize(selector->choose(0, view));
}
BENCHMARK_CAPTURE(choose, adaptive, "adaptive")->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(choose, cacheblend, "cacheblend")->Unit(benchmark::kMicrosecond);

}  // namespace
