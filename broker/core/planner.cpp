#include "broker/core/planner.h"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>
#include <string>

#include "broker/core/chunk_sources.h"
#include "broker/core/miss_reason.h"
#include "index/prefix_chain.h"
#include "reuse/trace_selector.h"

namespace spolia {
namespace {

using namespace miss_reason;

std::string_view miss_of(Residence residence) {
    switch (residence) {
        case Residence::kAbsent: return kFirstSight;
        case Residence::kQueued: return kQueued;
        case Residence::kUnavailable: return kUnavailable;
        case Residence::kDisk:
        case Residence::kRam: break;
    }
    return {};
}

class Planner {
public:
    Planner(const PlanInput& input, const FindResidence& find, const CostModel& costs)
        : input_(input),
          find_(find),
          sources_(input.tokens, input.segments, {input.anchors, input.anchor_depth_max}, find_),
          costs_(costs),
          n_prompt_(static_cast<int32_t>(input.tokens.size())),
          last_row_(n_prompt_ - 1) {}

    PromptPlan make() {
        plan_.n_prompt = n_prompt_;
        plan_.unmapped = input_.unmapped;
        plan_.n_keep = std::min(input_.n_held, last_row_);
        plan_.n_exact = plan_.n_keep;
        plan_.dense_ms = costs_.predict_ms({.work = dense_work({0, n_prompt_})});
        add_pages();
        list_chunks();
        add_chunks();
        end_on_tile();
        plan_.cost = cost_of(plan_.blocks);
        plan_.chosen_ms = costs_.predict_ms(plan_.cost);
        return std::move(plan_);
    }

private:
    const SelectorParams& params() const {
        return input_.params != nullptr ? *input_.params : input_.policy->params;
    }
    bool by_cost() const { return input_.by_cost && costs_.measured(); }

    std::span<const Token> tokens_of(TokenSpan span) const {
        return input_.tokens.subspan(span.begin, span.size());
    }

    void add_pages() {
        std::vector<PlannedBlock> pages;
        int32_t row = plan_.n_keep;
        for (size_t i = row / kPrefixPageRows; i < input_.page_keys.size() && row < last_row_;
             ++i) {
            const int32_t begin = static_cast<int32_t>(i) * kPrefixPageRows;
            const TokenSpan covers{begin, begin + kPrefixPageRows};
            const Residence residence = find_(input_.page_keys[i], tokens_of(covers));
            if (!present(residence)) break;
            const int32_t end = std::min(covers.end, last_row_);
            pages.push_back({.key = input_.page_keys[i],
                             .covers = covers,
                             .row = row,
                             .source_row = row - begin,
                             .n_rows = end - row,
                             .exact = true,
                             .on_disk = residence == Residence::kDisk});
            row = end;
        }
        if (by_cost() && costs_.predict_ms(cost_of(pages)) >= costs_.predict_ms(cost_of({})))
            return;
        plan_.blocks = std::move(pages);
        plan_.n_exact = row;
    }

    void list_chunks() {
        for (size_t part = 0; part < input_.segments.size(); ++part) {
            const Segment& segment = input_.segments[part];
            if (segment.role == SegmentRole::kChunk) plan_.chunks.push_back({segment, part});
        }
    }

    void add_chunks() {
        std::vector<PlannedBlock> blocks;
        for (ChunkOutcome& chunk : plan_.chunks) {
            if (chunk.segment.span.end <= plan_.n_exact) continue;
            if (input_.policy->fidelity == Fidelity::kExact) {
                chunk.miss = kFidelityExact;
            } else if (input_.model->support == ReuseSupport::kExactOnly) {
                chunk.miss = kUnsupported;
            } else {
                add_chunk(chunk, blocks);
            }
        }
        if (blocks.empty()) return;
        if (params().policy == "adaptive") count_picked(blocks);
        if (by_cost() && !force_composing()) keep_profitable(blocks);
        plan_.composed = !blocks.empty();
        plan_.mend = std::any_of(blocks.begin(), blocks.end(),
                                 [this](const PlannedBlock& block) { return mended(block); });
        plan_.blocks.insert(plan_.blocks.end(), blocks.begin(), blocks.end());
    }

    // The rows that dense compute adds, all of them or those in front of composed blocks, must be
    // exact as well. A chunk that is now wholly recomputed says so; one that loses its last rows
    // still counts as found.
    void end_on_tile() {
        const int32_t n_dense = plan_.n_dense();
        if (!completes_tile(plan_.n_exact, n_dense, input_.n_tile_rows) && plan_.composed) return;
        const int32_t end = rows_kept_exactly(plan_.n_exact, n_dense, input_.n_tile_rows);
        for (ChunkOutcome& chunk : plan_.chunks) {
            const TokenSpan span = chunk.segment.span;
            if (span.begin >= end && span.begin < plan_.n_exact) chunk.miss = kTileEdge;
        }
        std::erase_if(plan_.blocks,
                      [&](const PlannedBlock& block) { return block.exact && block.row >= end; });
        for (PlannedBlock& block : plan_.blocks) {
            if (block.exact) block.n_rows = std::min(block.n_rows, end - block.row);
        }
        plan_.n_keep = std::min(plan_.n_keep, end);
        plan_.n_exact = end;
    }

    // "full" computes everything: nobody asks for it to save time.
    bool force_composing() const { return params().policy == "full"; }

    void add_chunk(ChunkOutcome& chunk, std::vector<PlannedBlock>& blocks) const {
        const TokenSpan covers = chunk.segment.span;
        const ChunkSource source = sources_.of(chunk.part);
        // An anchor was made behind more than the sink.
        const bool settled = behind_sink(covers.begin) && source.known == nullptr;
        const TokenSpan rows{std::max({covers.begin, plan_.n_exact, settled ? 0 : 1}),
                             std::min(covers.end, last_row_)};
        if (rows.empty()) {
            // Of a chunk that reaches out of the exact prefix only the last row is left.
            if (covers.begin >= plan_.n_exact) chunk.miss = kEdgeRow;
            return;
        }
        if (!present(source.residence)) {
            chunk.miss = miss_of(source.residence);
            chunk.wanted =
                source.residence == Residence::kAbsent || source.residence == Residence::kQueued;
            if (chunk.wanted && input_.refusal.empty()) add_donor(chunk, blocks);
            return;
        }
        if (!input_.refusal.empty()) {
            chunk.miss = input_.refusal;
            return;
        }
        chunk.n_reused = rows.size();
        blocks.push_back({.key = source.key,
                          .covers = covers,
                          .row = rows.begin,
                          .source_row = rows.begin - covers.begin,
                          .n_rows = rows.size(),
                          .settled = settled,
                          .on_disk = source.residence == Residence::kDisk,
                          .known = source.known,
                          .depth = source.depth});
    }

    // The rows that a text nearly the same as the chunk shares with it.
    void add_donor(ChunkOutcome& chunk, std::vector<PlannedBlock>& blocks) const {
        const auto donor = std::ranges::find(input_.donors, chunk.part, &Donor::part);
        if (donor == input_.donors.end()) return;
        const DonorText& text = *donor->text;
        const Residence residence = find_(text.key, text.tokens);
        if (!present(residence)) return;
        for (const DonorRun& run : donor->runs) {
            const bool settled = behind_sink(chunk.segment.span.begin) && run.known->edited.empty();
            const TokenSpan rows{std::max({run.rows.begin, plan_.n_exact, settled ? 0 : 1}),
                                 std::min(run.rows.end, last_row_)};
            if (rows.empty()) continue;
            blocks.push_back({.key = text.key,
                              .covers = chunk.segment.span,
                              .row = rows.begin,
                              .source_row = run.source_row + rows.begin - run.rows.begin,
                              .n_rows = rows.size(),
                              .settled = settled,
                              .on_disk = residence == Residence::kDisk,
                              .known = run.known,
                              .donor = donor->text});
            chunk.n_reused += rows.size();
        }
        if (chunk.n_reused > 0) chunk.miss = kEdited;
    }

    // Whether a chunk that begins at `row` stands directly behind the very prefix that isolated
    // blocks are made behind.
    bool behind_sink(int32_t row) const {
        return static_cast<size_t>(row) == input_.sink_prefix.size() &&
               std::equal(input_.sink_prefix.begin(), input_.sink_prefix.end(),
                          input_.tokens.begin());
    }

    // Drops the blocks that cost more than they save, and all of them where the whole would not
    // be faster than computing.
    void keep_profitable(std::vector<PlannedBlock>& blocks) {
        const double computed_ms = costs_.predict_ms(cost_of(plan_.blocks));
        drop_slow_to_place(blocks);
        drop_slow_to_load(blocks);
        if (costs_.predict_ms(cost_with(blocks)) < computed_ms) return;
        for (const PlannedBlock& block : blocks) turn_down(block);
        blocks.clear();
    }

    void drop_slow_to_place(std::vector<PlannedBlock>& blocks) {
        PrefillCost cost = cost_with(blocks);
        std::erase_if(blocks, [&](const PlannedBlock& block) {
            PrefillCost without = cost;
            take_out(block, without);
            if (costs_.predict_ms(without) > costs_.predict_ms(cost)) return false;
            cost = without;
            turn_down(block);
            return true;
        });
    }

    // A block is loaded for all that is taken from it, so that has to be worth it together.
    void drop_slow_to_load(std::vector<PlannedBlock>& blocks) {
        PrefillCost cost = cost_with(blocks);
        std::map<Key128, int32_t> loads;  // rows, by the block's key
        for (const PlannedBlock& block : blocks) {
            if (block.on_disk) loads.emplace(block.key, n_held(block));
        }
        for (const auto& [key, n_loaded] : loads) {
            PrefillCost without = cost;
            without.rows_loaded -= n_loaded;
            for (const PlannedBlock& block : blocks) {
                if (block.key == key) take_out(block, without);
            }
            if (costs_.predict_ms(without) > costs_.predict_ms(cost)) continue;
            cost = without;
            std::erase_if(blocks, [&, key = key](const PlannedBlock& block) {
                if (block.key != key) return false;
                turn_down(block);
                return true;
            });
        }
    }

    // What a donor does not have stays computed for its own reason.
    void turn_down(const PlannedBlock& block) {
        plan_.turned_down = true;
        const TokenSpan rows{block.row, block.row + block.n_rows};
        for (ChunkOutcome& chunk : plan_.chunks) {
            if (chunk.segment.span != block.covers) continue;
            chunk.n_reused -= block.n_rows;
            if (block.donor == nullptr) {
                chunk.miss = kNotProfitable;
            } else {
                const auto behind =
                    std::ranges::lower_bound(chunk.turned_down, rows.begin, {}, &TokenSpan::begin);
                chunk.turned_down.insert(behind, rows);
            }
        }
    }

    PrefillCost cost_with(std::span<const PlannedBlock> composed) const {
        std::vector<PlannedBlock> all = plan_.blocks;
        all.insert(all.end(), composed.begin(), composed.end());
        return cost_of(all);
    }

    PrefillCost cost_of(std::span<const PlannedBlock> blocks) const {
        PrefillCost cost{.work = dense_work({plan_.n_keep, n_prompt_})};
        std::set<Key128> loaded;
        for (const PlannedBlock& block : blocks) {
            add(block, 1, cost);
            if (block.on_disk && loaded.insert(block.key).second) {
                cost.rows_loaded += n_held(block);
            }
        }
        return cost;
    }

    void take_out(const PlannedBlock& block, PrefillCost& cost) const { add(block, -1, cost); }

    // Adds (sign 1) a block in memory to a way of serving the prompt, or removes it (sign -1).
    void add(const PlannedBlock& block, int sign, PrefillCost& cost) const {
        const Work dense = dense_work({block.row, block.row + block.n_rows});
        cost.work += scaled(dense, sign * (mended_share(block) - 1));
        cost.rows_placed += sign * block.n_rows;
        if (!block.exact) cost.composed = true;
    }

    int32_t n_held(const PlannedBlock& block) const {
        return static_cast<int32_t>(spolia::tokens_of(block, input_.tokens).size());
    }

    bool mended(const PlannedBlock& block) const {
        const std::string& policy = params().policy;
        return policy == "full" || (policy != "none" && !block.settled);
    }

    // As AdaptiveSelector will pick: it needs nothing but the text.
    void count_picked(std::vector<PlannedBlock>& blocks) const {
        const std::vector<PassiveSpan> spans = passive_spans(blocks);
        const AdaptiveSelector selector(params().weight_min, params().check_layer,
                                        params().deviation_min);
        auto block = blocks.begin();
        for (const int32_t row : selector.pick({spans, input_.outline}).rows) {
            while (row >= block->row + block->n_rows) ++block;
            ++block->n_picked;
        }
    }

    double mended_share(const PlannedBlock& block) const {
        if (block.exact || !mended(block)) return 0;
        return mend_share(params(), input_.model->kv.n_layer, block.n_rows, block.n_picked);
    }

    const PlanInput& input_;
    const FindResidence& find_;
    const ChunkSources sources_;
    const CostModel& costs_;
    const int32_t n_prompt_;
    const int32_t last_row_;
    PromptPlan plan_;
};

}  // namespace

PromptPlan plan_prompt(const PlanInput& input, const FindResidence& find, const CostModel& costs) {
    assert(!input.tokens.empty());
    return Planner(input, find, costs).make();
}

}  // namespace spolia
