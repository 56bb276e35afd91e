#include "broker/quality/kvcomm_way.h"

#include <algorithm>
#include <utility>

#include "broker/quality/greedy_answer.h"

namespace spolia {
namespace {

std::span<const Token> tokens_of(const QualityPrompt& prompt, TokenSpan span) {
    return std::span(prompt.tokens).subspan(span.begin, span.size());
}

}  // namespace

KvcommWay::KvcommWay(Engine& engine, const TextModel& text, int32_t first_sequence,
                     int32_t n_agents)
    : engine_(engine, first_sequence, n_agents),
      text_(text),
      bases_(engine),
      own_(static_cast<size_t>(n_agents)) {}

Result<TeamCall> KvcommWay::call(const QualityPrompt& prompt, size_t agent, std::span<const Token>,
                                 int32_t tokens_max) {
    const Result<std::vector<Chunk>> chunks = placeholders(prompt);
    if (!chunks.ok()) return chunks.error();
    const auto sequence = static_cast<int32_t>(agent);
    TeamCall call;
    const Clock::time_point begin = Clock::now();
    const std::vector<std::unique_ptr<KvBlock>> predicted = predict(agent, *chunks);
    std::vector<PlacedBlock> placed;
    for (size_t i = 0; i < predicted.size(); ++i) {
        const TokenSpan span = (*chunks)[i].segment.span;
        placed.push_back({.row = span.begin, .n_rows = span.size(), .block = predicted[i].get()});
    }
    const Result<PrefillReport> report = engine_.prefill({.sequence = sequence,
                                                          .tokens = prompt.tokens,
                                                          .n_keep = n_kept(agent, prompt),
                                                          .blocks = placed},
                                                         {});
    if (!report.ok()) return report.error();
    const auto first = std::ranges::find(prompt.segments, SegmentRole::kChunk, &Segment::role);
    own_[agent].assign(prompt.tokens.begin(), prompt.tokens.begin() + first->span.end);
    Receipt& receipt = call.receipt;
    receipt.prompt_ms = ms_between(begin, Clock::now());
    receipt.policy = predicted.empty() ? "dense" : "kvcomm";
    receipt.n_prompt = static_cast<int32_t>(prompt.tokens.size());
    receipt.n_exact = report->n_exact;
    receipt.n_anchored = report->n_shifted;
    receipt.n_computed = report->n_computed;
    const std::span<const float> logits = engine_.logits(sequence);
    call.logits.assign(logits.begin(), logits.end());
    if (predicted.empty()) {
        if (Status made = make_anchors(agent, prompt, *chunks); !made) return made.error();
    }
    Result<GreedyAnswer> answer = greedy_answer(engine_, text_, sequence, prompt.stops, tokens_max);
    if (!answer) return std::move(answer).error();
    call.output = std::move(answer->output);
    return call;
}

Result<std::vector<KvcommWay::Chunk>> KvcommWay::placeholders(const QualityPrompt& prompt) {
    bases_.begin_prompt();
    std::vector<Chunk> chunks;
    size_t slot = 0;
    for (const Segment& segment : prompt.segments) {
        if (segment.role != SegmentRole::kChunk || slot++ == 0) continue;
        const Result<const KvBlock*> base =
            bases_.block(segment.key, tokens_of(prompt, segment.span));
        if (!base.ok()) return base.error();
        chunks.push_back({slot, segment, *base});
    }
    return chunks;
}

std::vector<std::unique_ptr<KvBlock>> KvcommWay::predict(size_t agent,
                                                         std::span<const Chunk> chunks) {
    std::vector<std::unique_ptr<KvBlock>> predicted;
    for (const Chunk& chunk : chunks) {
        std::unique_ptr<KvBlock> block = placeholders_[{agent, chunk.slot}].predict(
            *chunk.base, engine_.info().rope, chunk.segment.span.begin);
        if (!block) return {};
        predicted.push_back(std::move(block));
    }
    return predicted;
}

Status KvcommWay::make_anchors(size_t agent, const QualityPrompt& prompt,
                               std::span<const Chunk> chunks) {
    for (const Chunk& chunk : chunks) {
        const TokenSpan span = chunk.segment.span;
        const Result<std::unique_ptr<KvBlock>> dense =
            engine_.capture({.sequence = static_cast<int32_t>(agent),
                             .begin = span.begin,
                             .key = chunk.segment.key,
                             .left_context = {},
                             .provenance = Provenance::kContextual,
                             .tokens = tokens_of(prompt, span)});
        if (!dense.ok()) return dense.error();
        placeholders_[{agent, chunk.slot}].add(*chunk.base, **dense, span.begin);
    }
    return {};
}

// The agent's own note is computed in every call, or kept.
int32_t KvcommWay::n_kept(size_t agent, const QualityPrompt& prompt) const {
    const auto same = std::ranges::mismatch(own_[agent], prompt.tokens).in1;
    return rows_kept_exactly(static_cast<int32_t>(same - own_[agent].begin()),
                             static_cast<int32_t>(prompt.tokens.size()),
                             engine_.limits().n_tile_rows);
}

PoolSize KvcommWay::pool() const {
    PoolSize size;
    for (const auto& [place, placeholder] : placeholders_) {
        size.anchors += placeholder.size();
        size.bytes += placeholder.bytes();
    }
    return size;
}

}  // namespace spolia
