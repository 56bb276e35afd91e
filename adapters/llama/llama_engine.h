#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "adapters/llama/blend_graph.h"
#include "adapters/llama/load_gate.h"
#include "adapters/llama/model.h"
#include "reuse/engine.h"

namespace spolia {

struct LlamaEngineOptions {
    int32_t n_ctx = 8192;  // rows of each sequence
    int32_t n_sequences = 4;
    int32_t n_threads = 0;       // 0: one a core
    int32_t n_batch_rows = 512;  // rows computed at once (llama.cpp's ubatch)
    AttentionKernel attention = AttentionKernel::kAuto;
};

// Engine on llama.cpp, in this process.
class LlamaEngine final : public Engine {
public:
    // `model` outlives the engine. Probes llama.cpp's cache and state layout and runs the load
    // gate; a model that fails either is served with exact prefixes only, and info().support_reason
    // says why. Fails with kOutOfMemory when the KV cache or compute buffers don't fit.
    static Result<std::unique_ptr<LlamaEngine>> create(const LlamaModel& model,
                                                       const LlamaEngineOptions& options);
    ~LlamaEngine() override;

    const ModelInfo& info() const override;
    const EngineLimits& limits() const override;
    EngineMemory memory() const override;
    Result<PrefillReport> prefill(const PrefillPlan& plan, const PrefillTick& tick) override;
    Status decode(std::span<const DecodeItem> items) override;
    std::span<const float> logits(int32_t sequence) const override;
    void truncate(int32_t sequence, int32_t n_rows) override;
    Result<std::unique_ptr<KvBlock>> encode_isolated(const Key128& key,
                                                     std::span<const Token> tokens,
                                                     const PrefillTick& tick) override;
    Result<std::unique_ptr<KvBlock>> capture(const Capture& rows) override;
    Status read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                     std::span<uint16_t> v) const override;
    std::span<const Token> sink_prefix() const override;

    const GateReport& gate() const;

private:
    class Impl;
    explicit LlamaEngine(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace spolia
