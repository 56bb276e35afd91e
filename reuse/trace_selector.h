#pragma once

#include "reuse/selector.h"
#include "reuse/trace.h"

namespace spolia {

// The sentences on the question's path (trace.h), those of most weight first, as many as fit into a
// share of all passive rows.
class TraceSelector final : public Selector {
public:
    explicit TraceSelector(double ratio) : ratio_(ratio) {}

    std::string_view name() const override { return "trace"; }
    std::span<const CheckStage> stages() const override { return {}; }
    RowChoice pick(const Selection& selection) const override;
    std::vector<int32_t> choose(int32_t stage, const StageView& view) const override;

private:
    double ratio_;
};

// The rows on the question's path of at least some weight; all passive rows where the prompt's text
// is not known. Where there is a check layer, they are computed up to it, and behind it only those
// that the new context did change, and the more the less they weigh. Nothing is computed where
// nothing of the path needs mending.
class AdaptiveSelector final : public Selector {
public:
    // Without a check layer (0) all rows picked are computed through all layers.
    AdaptiveSelector(double weight_min, int32_t check_layer, double deviation_min);

    std::string_view name() const override { return "adaptive"; }
    std::span<const CheckStage> stages() const override { return stages_; }
    RowChoice pick(const Selection& selection) const override;
    std::vector<int32_t> choose(int32_t stage, const StageView& view) const override;

private:
    double weight_min_;
    double deviation_min_;
    std::vector<CheckStage> stages_;
};

}  // namespace spolia
