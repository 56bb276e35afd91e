#pragma once

#include "reuse/selector.h"

namespace spolia {

// The rows that the query attends to most over the blocks as they are, weighted by how much the new
// context changes them: what query-aware selective recompute comes down to (ProphetKV, A3, QCFuse).
class QuerySelector final : public Selector {
public:
    // stage.layer counts only where `rank` needs deviations.
    QuerySelector(CheckStage stage, Deviation deviation, QueryRank rank)
        : stage_(stage), deviation_(deviation), rank_(rank) {}

    std::string_view name() const override { return "query"; }
    std::span<const CheckStage> stages() const override;
    Deviation deviation() const override { return deviation_; }
    bool wants_attention() const override { return true; }
    RowChoice pick(const Selection& selection) const override;
    std::vector<int32_t> choose(int32_t stage, const StageView& view) const override;

private:
    CheckStage stage_;
    Deviation deviation_;
    QueryRank rank_;
};

}  // namespace spolia
