#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "reuse/selector.h"

namespace spolia::testing {

// Decides as another selector does, and keeps what both of them saw in the last prefill.
class RecordingSelector final : public Selector {
public:
    struct Stage {
        std::vector<int32_t> rows;
        std::vector<float> deviation, attention;
        int32_t n_passive = 0;
        std::vector<int32_t> kept;
    };

    explicit RecordingSelector(const Selector& inner) : inner_(inner) {}

    std::string_view name() const override { return inner_.name(); }
    std::span<const CheckStage> stages() const override { return inner_.stages(); }
    Deviation deviation() const override { return inner_.deviation(); }
    bool wants_attention() const override { return inner_.wants_attention(); }

    RowChoice pick(const Selection& selection) const override {
        attention.assign(selection.attention.begin(), selection.attention.end());
        return inner_.pick(selection);
    }
    std::vector<int32_t> choose(int32_t stage, const StageView& view) const override {
        if (stage == 0) seen.clear();
        seen.push_back({{view.candidates.begin(), view.candidates.end()},
                        {view.deviation.begin(), view.deviation.end()},
                        {view.attention.begin(), view.attention.end()},
                        view.n_passive,
                        inner_.choose(stage, view)});
        return seen.back().kept;
    }

    mutable std::vector<Stage> seen;       // one a stage
    mutable std::vector<float> attention;  // that pick() was given

private:
    const Selector& inner_;
};

}  // namespace spolia::testing
