#include "broker/core/anchor_keeper.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "anchors/anchor_file.h"
#include "broker/log.h"
#include "index/chunker.h"
#include "index/outline.h"
#include "index/whole_file.h"

namespace spolia {
namespace {

std::filesystem::path anchor_file(const std::filesystem::path& cache_directory,
                                  const Key128& model) {
    if (cache_directory.empty()) return {};
    return cache_directory / (model.hex() + ".anchors");
}

// What stands in front of a message in most templates, for its first word to be cut alike.
constexpr std::string_view kLineBreak = "\n";

}  // namespace

AnchorKeeper::AnchorKeeper(Engine& engine, const TextModel& text, BlockStore& store,
                           CoreState& state, const ServiceOptions& options)
    : engine_(engine),
      text_(text),
      store_(store),
      state_(state),
      options_(options),
      file_(anchor_file(options.store.directory, engine.info().fingerprint)),
      pool_(options.anchors) {
    const std::optional<std::string> bytes = read_whole_file(file_);
    if (!bytes) return;
    std::optional<std::vector<Anchor>> anchors = parse_anchors(*bytes, engine.info().fingerprint);
    if (anchors) {
        for (const Key128& evicted : pool_.add(*std::move(anchors))) {
            store_.erase(evicted);
            ++n_unsaved_;
        }
    } else {
        open_warning_ = "the anchors in " + file_.string() +
                        " are damaged or another model's; set aside as " +
                        set_file_aside(file_).string() + ", they are made anew";
    }
}

AnchorKeeper::Found AnchorKeeper::found_in(std::span<const Token> prompt, const Segment& chunk,
                                           std::span<const ContextChunk> in_front, int32_t depth) {
    return {.begin = chunk.span.begin,
            .tokens = prompt.subspan(chunk.span.begin, chunk.span.size()),
            .chunk = chunk.key,
            .context = {in_front.begin(), in_front.end()},
            .depth = depth};
}

void AnchorKeeper::keep_prompt(const Generation& generation) {
    const PreparedPrompt& prompt = generation.prompt;
    const PromptPlan& plan = generation.plan;
    if (!prompt.policy.anchored) return;
    std::vector<Key128> used;
    for (const PlannedBlock& block : plan.blocks) {
        if (block.anchored()) used.push_back(block.key);
    }
    pool_.used(used);
    std::vector<Found> found;
    const size_t n_chunks = std::min(plan.chunks.size(), kAnchorContextMax);
    for (size_t i = 0; i < n_chunks; ++i) {
        const Segment& segment = plan.chunks[i].segment;
        const int32_t depth = depth_at(plan, segment.span.begin);
        const bool computed = segment.span.end <= plan.n_dense() || plan.chunks[i].n_reused == 0;
        if (!computed || depth > kAnchorDepthMax) continue;
        found.push_back(found_in(prompt.tokens, segment, std::span(prompt.chunks).first(i), depth));
    }
    keep(generation.sequence, std::move(found));
}

void AnchorKeeper::keep_shadow(int32_t sequence, std::span<const Token> tokens,
                               std::span<const Segment> segments,
                               std::span<const ContextChunk> chunks) {
    const std::shared_ptr<const AnchorSnapshot> known = pool_.snapshot();
    std::vector<Found> found;
    size_t i = 0;
    for (const Segment& segment : segments) {
        if (segment.role != SegmentRole::kChunk) continue;
        const auto in_front = chunks.first(i++);
        const std::shared_ptr<const Anchor> old =
            known->of_block(anchor_key(segment.key, in_front));
        if (!old || old->depth == 0) continue;
        found.push_back(found_in(tokens, segment, in_front, 0));
    }
    keep(sequence, std::move(found));
}

void AnchorKeeper::keep_answer(const Generation& generation) {
    const PreparedPrompt& prompt = generation.prompt;
    const int32_t depth = depth_at(generation.plan, generation.plan.n_prompt);
    if (!prompt.policy.anchored || depth > kAnchorDepthMax) return;
    if (generation.n_generated < options_.chunker.tokens_min) return;
    if (prompt.chunks.size() >= kAnchorContextMax) return;
    if (!generation.text.stopped() && !complete_answer(generation)) return;
    const std::vector<Token> answer = answer_of(generation);
    std::string text(kLineBreak);
    for (const Token token : answer) text += text_.piece(token);
    // The client's text ends in front of a stop string.
    if (const std::string& stop = generation.text.stop_word(); !stop.empty()) {
        text.resize(std::min(text.size(), text.find(stop, kLineBreak.size())));
    }
    const Result<TokenizedText> tokenized = text_.tokenize(text, false, false);
    if (!tokenized.ok()) return;
    const TextSpan whole{static_cast<uint32_t>(kLineBreak.size()),
                         static_cast<uint32_t>(text.size()), SegmentRole::kChunk};
    const KeyScope scope{engine_.info().fingerprint, prompt.tenant};
    const std::vector<Segment> segments =
        segment_prompt(*tokenized, {&whole, 1}, scope, options_.chunker, nullptr);
    const std::vector<ContextChunk> own = chunks_of(segments, outline_prompt(*tokenized, segments));
    std::vector<ContextChunk> context = prompt.chunks;
    std::vector<Found> found;
    size_t i = 0;
    for (auto from = answer.begin(); const Segment& segment : segments) {
        if (segment.role != SegmentRole::kChunk) continue;
        const auto tokens =
            std::span(tokenized->tokens).subspan(segment.span.begin, segment.span.size());
        const auto at = std::search(from, answer.end(), tokens.begin(), tokens.end());
        if (at != answer.end()) {
            found.push_back({.begin = static_cast<int32_t>(prompt.tokens.size() +
                                                           std::distance(answer.begin(), at)),
                             .tokens = tokens,
                             .chunk = segment.key,
                             .context = context,
                             .depth = depth});
            from = at + segment.span.size();
        }
        context.push_back(own[i++]);
    }
    keep(generation.sequence, std::move(found));
}

// The last token that was sampled has no row yet. An end token needs none.
bool AnchorKeeper::complete_answer(const Generation& generation) {
    if (text_.is_end(generation.last_token)) return true;
    {
        MutexLock lock(state_.mutex);
        if (state_.sequences.n_rows(generation.sequence) >= engine_.limits().n_ctx) return false;
    }
    const DecodeItem item{generation.sequence, generation.last_token};
    if (!engine_.decode({&item, 1})) return false;
    MutexLock lock(state_.mutex);
    state_.sequences.append(item.sequence, item.token);
    return true;
}

std::vector<Token> AnchorKeeper::answer_of(const Generation& generation) const {
    MutexLock lock(state_.mutex);
    const std::span<const Token> all = state_.sequences.tokens(generation.sequence);
    const std::span<const Token> answer = all.subspan(generation.prompt.tokens.size());
    return {answer.begin(), answer.end()};
}

void AnchorKeeper::keep(int32_t sequence, std::vector<Found> found) {
    const std::shared_ptr<const AnchorSnapshot> known = pool_.snapshot();
    std::vector<Anchor> anchors;
    for (Found& each : found) {
        const Key128 key = anchor_key(each.chunk, each.context);
        const std::shared_ptr<const Anchor> old = known->of_block(key);
        if (old && old->depth <= each.depth && store_.where(key, each.tokens)) continue;
        const Provenance provenance =
            each.depth == 0 ? Provenance::kContextual : Provenance::kApproximate;
        Result<std::unique_ptr<KvBlock>> block = engine_.capture({.sequence = sequence,
                                                                  .begin = each.begin,
                                                                  .key = key,
                                                                  .left_context = {},
                                                                  .provenance = provenance,
                                                                  .tokens = each.tokens});
        if (!block) break;
        const uint64_t bytes = (*block)->bytes_total() + each.context.size() * sizeof(ContextChunk);
        if (!store_.insert(std::move(block).value())) break;
        anchors.push_back({each.chunk, key, std::move(each.context), each.depth, bytes});
    }
    n_unsaved_ += static_cast<int>(anchors.size());
    for (const Key128& evicted : pool_.add(std::move(anchors))) store_.erase(evicted);
}

bool AnchorKeeper::holds(const Key128& block, int32_t depth) const {
    const std::shared_ptr<const Anchor> anchor = pool_.snapshot()->of_block(block);
    return anchor != nullptr && anchor->depth == depth;
}

void AnchorKeeper::forget(std::span<const Key128> blocks) {
    for (const Key128& block : blocks) store_.erase(block);
    pool_.erase(blocks);
    n_unsaved_ += static_cast<int>(blocks.size());
}

void AnchorKeeper::save(bool all) {
    if (file_.empty() || n_unsaved_ < (all ? 1 : kUnsavedMax)) return;
    n_unsaved_ = 0;
    const std::string bytes = format_anchors(engine_.info().fingerprint, pool_.snapshot()->all());
    if (const Status saved = replace_file(file_, bytes, "the anchors"); !saved) {
        log_event(LogLevel::kWarning, saved.error().message);
    }
}

}  // namespace spolia
