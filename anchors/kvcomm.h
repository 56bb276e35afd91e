#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "reuse/block.h"
#include "reuse/rope.h"

namespace spolia {

struct KvcommOptions {
    double gamma = 0.3;  // of the entropy that all anchors weighing alike would have
    double top_p = 0.9;  // anchors with this share of the weight count as used
    size_t anchors_max = 20;
    size_t oldest = 5;  // the least used of so many goes
};

// What filled one placeholder of one agent's prompt so far, and how its rows differed there from
// the same text encoded alone: KVCOMM (arXiv 2510.12872) as its authors ship it, to compare with.
// New text is predicted to differ as the texts nearest to it did. Not thread-safe.
//
// As they do: the anchors' deltas of K are those at the position where each was made, distances are
// over raw elements, layer 0 is left as it is.
class KvcommPlaceholder {
public:
    explicit KvcommPlaceholder(const KvcommOptions& options = {}) : options_(options) {}

    // Keeps `dense`, rows of dense compute in the canonical frame, which stood from `row` on, and
    // `base`, the same text encoded alone.
    void add(const KvBlock& base, const KvBlock& dense, int32_t row);

    // The rows of new text at `row`, in the canonical frame; nullptr where the anchors do not tell:
    // fewer than two are as long as the text, or none stands out.
    std::unique_ptr<KvBlock> predict(const KvBlock& base, const RopeSpec& rope, int32_t row);

    size_t size() const { return anchors_.size(); }
    uint64_t bytes() const;

private:
    struct Anchor {
        std::unique_ptr<KvBlock> base;
        std::unique_ptr<KvBlock> delta;  // dense - base
        int32_t row = 0;
        uint64_t n_used = 0;
    };
    // Indices of the anchors to predict from, and what each weighs as a whole.
    struct Choice {
        std::vector<size_t> anchors;
        std::vector<double> weights;
    };
    std::optional<Choice> choose(const KvBlock& base) const;
    void count_use(const Choice& choice);
    void evict();

    const KvcommOptions options_;
    std::vector<Anchor> anchors_;  // oldest first
};

}  // namespace spolia
