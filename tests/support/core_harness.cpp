#include "tests/support/core_harness.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <thread>

namespace spolia::test {

std::string words(uint32_t n, size_t length) {
    std::string text;
    uint32_t state = n * 2654435761u + 1;
    while (text.size() < length) {
        state = state * 1664525u + 1013904223u;
        text.push_back(static_cast<char>('a' + (state >> 24) % 26));
    }
    return text;
}

CoreHarness::CoreHarness() {
    options.chunker = {.tokens_min = 8, .tokens_max = 128};
    options.reuse.fidelity = Fidelity::kFast;
    options.reuse.policy = "epic";
    options.reuse.head_rows = 4;
    options.store.ram_bytes_max = uint64_t{64} << 20;
    options.queue_max = 64;
    options.encode_queue_max = 64;
    options.shadow_share = 1;
    options.shadow_time = 1;
}

CoreHarness::~CoreHarness() {
    service_.reset();
    for (const std::string& violation : control.take_violations()) ADD_FAILURE() << violation;
}

void CoreHarness::open() {
    Result<std::unique_ptr<Service>> opened =
        open_service(std::make_unique<FakeEngine>(engine_options, control),
                     std::make_unique<FakeTextModel>(sampled_, space_prefix), options);
    ASSERT_TRUE(opened) << opened.error().message;
    service_ = std::move(opened).value();
}

void CoreHarness::reopen() {
    service_.reset();
    open();
}

GenerateRequest CoreHarness::request(const std::vector<Part>& parts, int32_t tokens_max,
                                     Fidelity fidelity) {
    std::string text;
    GenerateRequest request;
    for (const Part& part : parts) {
        const auto begin = static_cast<uint32_t>(text.size());
        text += part.text;
        request.spans.push_back({begin, static_cast<uint32_t>(text.size()), part.role});
    }
    request.prompt = FakeTextModel(sampled_, space_prefix).tokenize(text, true, false).value();
    request.tokens_max = tokens_max;
    request.reuse.fidelity = fidelity;
    request.sampling.seed = next_seed_++;
    return request;
}

CoreHarness::Run CoreHarness::submit(GenerateRequest request, Run run) {
    run.seed = *request.sampling.seed;
    const Result<GenerationId> id = service_->submit(std::move(request), run.sink);
    EXPECT_TRUE(id) << id.error().message;
    if (id) run.id = *id;
    return run;
}

int32_t n_accounted(const Receipt& receipt) {
    return receipt.n_exact + receipt.n_shifted + receipt.n_anchored + receipt.n_donor +
           receipt.n_blended + receipt.n_computed;
}

CoreHarness::Run CoreHarness::run(GenerateRequest request) {
    const auto n_prompt = static_cast<int32_t>(request.prompt.tokens.size());
    Run run = submit(std::move(request));
    EXPECT_TRUE(run.sink->wait());
    EXPECT_EQ(run.sink->misplaced_events(), 0);
    if (const auto receipt = run.sink->receipt()) {
        EXPECT_EQ(receipt->n_prompt, n_prompt);
        EXPECT_EQ(n_accounted(*receipt), n_prompt);
    }
    return run;
}

void CoreHarness::wait_idle() {
    // Background work is done when nothing has changed for a while.
    int64_t last = -1;
    for (int quiet = 0; quiet < 3;) {
        const int64_t now = control.n_encodes + control.n_captures;
        const ServiceStats stats = service_->stats();
        const bool idle = stats.encode_queue_depth == 0 && stats.shadow_queue_depth == 0 &&
                          stats.donors.waiting == 0 && now == last;
        quiet = idle ? quiet + 1 : 0;
        last = now;
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
    }
}

Result<std::vector<ChunkInfo>> CoreHarness::put(const std::string& tenant, const std::string& name,
                                                const std::string& text) {
    std::promise<Result<std::vector<ChunkInfo>>> done;
    service_->put_chunk(tenant, name, text, [&](Result<std::vector<ChunkInfo>> infos) {
        done.set_value(std::move(infos));
    });
    return done.get_future().get();
}

std::vector<Token> CoreHarness::dense(const GenerateRequest& request) const {
    FakeEngineControl alone;
    FakeEngine engine(engine_options, alone);
    PrefillPlan plan;
    plan.tokens = request.prompt.tokens;
    EXPECT_TRUE(engine.prefill(plan, [] { return true; }));
    std::vector<Token> tokens;
    auto n_rows = static_cast<int32_t>(request.prompt.tokens.size());
    while (static_cast<int32_t>(tokens.size()) != request.tokens_max) {
        tokens.push_back(greedy(engine.logits(0)));
        if (tokens.back() == FakeTextModel::kEnd || n_rows == engine_options.n_ctx) break;
        const DecodeItem item{0, tokens.back()};
        EXPECT_TRUE(engine.decode({&item, 1}));
        ++n_rows;
    }
    return tokens;
}

}  // namespace spolia::test
