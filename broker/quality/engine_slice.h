#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "reuse/engine.h"

namespace spolia {

// Some of an engine's sequences, as an engine of its own: several ways of serving the same prompts
// share one model, and none sees what another left.
class EngineSlice final : public Engine {
public:
    // Sequences first .. first + n - 1 of `engine`, which outlives this.
    EngineSlice(Engine& engine, int32_t first, int32_t n)
        : engine_(engine), first_(first), limits_(engine.limits()) {
        limits_.n_sequences = n;
    }

    const ModelInfo& info() const override { return engine_.info(); }
    const EngineLimits& limits() const override { return limits_; }
    EngineMemory memory() const override { return engine_.memory(); }
    Result<PrefillReport> prefill(const PrefillPlan& plan, const PrefillTick& tick) override {
        PrefillPlan moved = plan;
        moved.sequence += first_;
        return engine_.prefill(moved, tick);
    }
    Status decode(std::span<const DecodeItem> items) override {
        std::vector<DecodeItem> moved(items.begin(), items.end());
        for (DecodeItem& item : moved) item.sequence += first_;
        return engine_.decode(moved);
    }
    std::span<const float> logits(int32_t sequence) const override {
        return engine_.logits(sequence + first_);
    }
    void truncate(int32_t sequence, int32_t n_rows) override {
        engine_.truncate(sequence + first_, n_rows);
    }
    Result<std::unique_ptr<KvBlock>> encode_isolated(const Key128& key,
                                                     std::span<const Token> tokens,
                                                     const PrefillTick& tick) override {
        return engine_.encode_isolated(key, tokens, tick);
    }
    Result<std::unique_ptr<KvBlock>> capture(const Capture& rows) override {
        Capture moved = rows;
        moved.sequence += first_;
        return engine_.capture(moved);
    }
    Status read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                     std::span<uint16_t> v) const override {
        return engine_.read_rows(sequence + first_, layer, begin, k, v);
    }
    std::span<const Token> sink_prefix() const override { return engine_.sink_prefix(); }

private:
    Engine& engine_;
    const int32_t first_;
    EngineLimits limits_;
};

}  // namespace spolia
