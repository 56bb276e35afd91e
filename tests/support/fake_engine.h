#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "index/thread_annotations.h"
#include "reuse/engine.h"

namespace spolia::test {

struct FakeEngineOptions {
    int32_t n_sequences = 3;
    int32_t n_ctx = 1024;
    int32_t n_batch_rows = 64;
    int32_t n_vocab = 264;
    Token end_token = 257;
    // One sampled token in so many is the end; 0: never.
    uint64_t end_every = 24;
    std::vector<Token> sink_prefix = {256};
    ReuseSupport support = ReuseSupport::kFused;
    // Times that reports claim; nobody sleeps.
    double us_per_row = 1000;
    double us_per_row_context = 0.5;
    double us_per_placed_row = 10;
};

// What tests may change and look at while the engine thread works. Outlives the engine.
struct FakeEngineControl {
    // Called on the engine thread.
    std::function<void()> before_prefill;
    std::function<void(int batch)> between_batches;
    std::function<void()> before_decode;
    std::function<void()> before_encode;
    // How far a composed prefill raises dense compute's lowest logit. 1 leaves the first token and
    // a KL below 0.001, 20 another token and a KL above 10. Unset: its logits have nothing to do
    // with those of dense compute.
    std::function<float(const PrefillPlan& plan)> divergence;
    // With `divergence`: what is added to the likeliest logit of a composed prompt before. 20
    // leaves no doubt; without it, all tokens are about equally likely.
    std::function<float(const PrefillPlan& plan)> certainty;

    std::atomic<int> prefills_to_fail = 0;  // after their first batch
    std::atomic<int> decodes_to_fail = 0;
    std::atomic<int> encodes_to_fail = 0;

    std::atomic<int64_t> n_prefills = 0, n_decodes = 0, n_encodes = 0, n_captures = 0;
    std::atomic<int64_t> n_rows_computed = 0;

    void violation(std::string what) {
        MutexLock lock(mutex);
        violations.push_back(std::move(what));
    }
    std::vector<std::string> take_violations() {
        MutexLock lock(mutex);
        return std::exchange(violations, {});
    }
    Mutex mutex;
    std::vector<std::string> violations GUARDED_BY(mutex);
};

// A model without weights. The state of a row is a hash of its token, its position and the states
// of all rows before it, so that dense rows are a function of the tokens alone, exact reuse gives
// the same logits bit by bit, and any other row in the way changes all that follow. A block moved
// to a new position has other states than dense compute would leave there; a settled one has the
// same.
//
// Checks what callers promise (PrefillPlan's contract, exactness included, one thread) and keeps
// violations in its control, also of what an engine refuses.
class FakeEngine final : public Engine {
public:
    using State = uint64_t;

    FakeEngine(FakeEngineOptions options, FakeEngineControl& control);

    const ModelInfo& info() const override { return info_; }
    const EngineLimits& limits() const override { return limits_; }
    EngineMemory memory() const override { return {}; }
    Result<PrefillReport> prefill(const PrefillPlan& plan, const PrefillTick& tick) override;
    Status decode(std::span<const DecodeItem> items) override;
    std::span<const float> logits(int32_t sequence) const override;
    void truncate(int32_t sequence, int32_t n_rows) override;
    Result<std::unique_ptr<KvBlock>> encode_isolated(const Key128& key,
                                                     std::span<const Token> tokens,
                                                     const PrefillTick& tick) override;
    Result<std::unique_ptr<KvBlock>> capture(const Capture& rows) override;
    // A row's K begins with its state.
    Status read_rows(int32_t sequence, int32_t layer, int32_t begin, std::span<uint16_t> k,
                     std::span<uint16_t> v) const override;
    std::span<const Token> sink_prefix() const override { return options_.sink_prefix; }

    // The states that dense compute leaves.
    static std::vector<State> dense_states(std::span<const Token> tokens);

private:
    struct Row {
        Token token = 0;
        State state = 0;
    };
    struct Sequence {
        std::vector<Row> rows;
        std::vector<float> logits;
    };
    enum class Source : uint8_t { kCompute, kExactPage, kBlock, kBlended };

    static State next_state(State sum, Token token, size_t position);
    static State sum_of(std::span<const Row> rows);
    void check(bool holds, const std::string& what) const;
    void check_thread() const;
    void check_plan(const PrefillPlan& plan) const;
    void check_block(const PrefillPlan& plan, const PlacedBlock& block,
                     std::span<const State> dense) const;
    std::vector<Source> sources(const PrefillPlan& plan) const;
    std::vector<int32_t> rows_to_mend(const PrefillPlan& plan, int64_t* row_layers = nullptr) const;
    State placed_state(const PrefillPlan& plan, int32_t row) const;
    std::unique_ptr<KvBlock> make_block(BlockMeta meta, std::span<const State> states) const;
    void set_logits(Sequence& sequence) const;
    void set_logits(std::vector<float>& logits, State state) const;
    void diverge(const PrefillPlan& plan, Sequence& sequence) const;

    const FakeEngineOptions options_;
    FakeEngineControl& control_;
    ModelInfo info_;
    EngineLimits limits_;
    std::vector<Sequence> sequences_;
    mutable std::optional<std::thread::id> thread_;
};

}  // namespace spolia::test
