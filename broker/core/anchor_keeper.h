#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "anchors/anchor_pool.h"
#include "broker/core/core_state.h"
#include "broker/core/generation.h"
#include "broker/core/planner.h"
#include "broker/core/service_options.h"
#include "reuse/block_store.h"
#include "reuse/engine.h"

namespace spolia {

// Makes anchors of what the engine has computed anyway: the chunks of prompts where dense compute
// left them, and answers as they were decoded, so that an agent that reads another one's message
// finds its rows. Rows behind composed rows are kept as well, with a depth, but for those too deep.
// Snapshots are for any thread, the rest for the engine thread.
class AnchorKeeper {
public:
    // Takes up what the last process kept.
    AnchorKeeper(Engine& engine, const TextModel& text, BlockStore& store, CoreState& state,
                 const ServiceOptions& options);

    std::shared_ptr<const AnchorSnapshot> snapshot() const { return pool_.snapshot(); }
    AnchorPool::Stats stats() const { return pool_.stats(); }
    // What became of a file that could not be used; empty: it was there and whole, or not there.
    const std::string& open_warning() const { return open_warning_; }

    // The generation's sequence holds its prompt, served as planned: keeps the chunks that were
    // computed whole, densely or behind composed rows.
    void keep_prompt(const Generation& generation);
    // A shadow computed the prompt densely: what is kept of it as an approximation is replaced.
    // `chunks` are those among the segments.
    void keep_shadow(int32_t sequence, std::span<const Token> tokens,
                     std::span<const Segment> segments, std::span<const ContextChunk> chunks);
    // The generation is over and its sequence not yet released. Cut as prompts with this answer as
    // a part of its own will be. Decodes the last token's row where it is still missing.
    void keep_answer(const Generation& generation);
    // Whether the rows under this key are still those of an anchor of this depth: a shallower one
    // may have taken its place.
    bool holds(const Key128& block, int32_t depth) const;
    // The rows under these keys are not to be believed any more.
    void forget(std::span<const Key128> blocks);

    // Writes what has changed, if it is enough to be worth it, or `all` of it. When there is time:
    // what a crash costs is only made anew.
    void save(bool all);

private:
    static constexpr int kUnsavedMax = 64;

    // Rows of a sequence that hold a chunk, and what was in front of it.
    struct Found {
        int32_t begin = 0;
        std::span<const Token> tokens;
        Key128 chunk;
        std::vector<ContextChunk> context;
        int32_t depth = 0;
    };
    static Found found_in(std::span<const Token> prompt, const Segment& chunk,
                          std::span<const ContextChunk> in_front, int32_t depth);
    void keep(int32_t sequence, std::vector<Found> found);
    bool complete_answer(const Generation& generation);
    std::vector<Token> answer_of(const Generation& generation) const;

    Engine& engine_;
    const TextModel& text_;
    BlockStore& store_;
    CoreState& state_;
    const ServiceOptions& options_;
    const std::filesystem::path file_;
    std::string open_warning_;
    AnchorPool pool_;
    int n_unsaved_ = 0;
};

}  // namespace spolia
