#include "broker/core/local_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/core_harness.h"

namespace spolia {
namespace {

using test::CoreHarness;
using test::Part;
using test::words;

constexpr auto kFixed = SegmentRole::kFixed;
constexpr auto kChunk = SegmentRole::kChunk;
constexpr auto kQuery = SegmentRole::kQuery;

class LocalServiceTest : public testing::Test {
protected:
    // Parts of a prompt with two chunks in the order given.
    static std::vector<Part> two_chunks(uint32_t first, uint32_t second, uint32_t question) {
        return {{kFixed, "System: "},
                {kChunk, document(first)},
                {kFixed, "<sep>"},
                {kChunk, document(second)},
                {kQuery, words(question, 12)}};
    }
    // 60 tokens where n is odd, 50 where it is even.
    static std::string document(uint32_t n) { return words(n, 50 + 10 * (n % 2)); }

    CoreHarness core;
};

int32_t reused(const CoreHarness::Run& run) {
    return run.sink->receipt()->n_shifted + run.sink->receipt()->n_blended;
}

int32_t missed(const CoreHarness::Run& run, const std::string& reason) {
    const Receipt receipt = run.sink->receipt().value();
    for (const Miss& miss : receipt.misses) {
        if (miss.reason == reason) return miss.n_tokens;
    }
    return 0;
}

TEST_F(LocalServiceTest, ReusesChunksInANewOrder) {
    core.open();
    const auto first = core.run(core.request(two_chunks(1, 2, 3)));
    EXPECT_EQ(reused(first), 0);
    EXPECT_EQ(first.sink->receipt()->policy, "dense");
    EXPECT_EQ(missed(first, "first_sight"), 110);
    core.wait_idle();
    EXPECT_EQ(core.control.n_encodes, 2);

    const GenerateRequest swapped = core.request(two_chunks(2, 1, 4));
    const auto second = core.run(swapped);
    EXPECT_EQ(reused(second), 110);
    EXPECT_EQ(second.sink->receipt()->policy, "epic");
    EXPECT_EQ(second.sink->receipt()->n_chunks_hit, 2);
    EXPECT_EQ(second.sink->receipt()->n_blended, 8);
    EXPECT_NE(core.sampled(second), core.dense(swapped)) << "the fake shows composed reuse";
}

TEST_F(LocalServiceTest, FullRecomputeEqualsDense) {
    core.open();
    core.run(core.request(two_chunks(1, 2, 3)));
    core.wait_idle();
    GenerateRequest request = core.request(two_chunks(2, 1, 4), 24);
    request.reuse.policy = "full";
    const auto run = core.run(request);
    EXPECT_EQ(run.sink->receipt()->policy, "full");
    EXPECT_EQ(run.sink->receipt()->n_blended, 110);
    EXPECT_EQ(core.sampled(run), core.dense(request));
}

TEST_F(LocalServiceTest, ASettledChunkEqualsDense) {
    core.open();
    core.run(core.request({{kChunk, words(1, 60)}, {kQuery, "?"}}));
    core.wait_idle();
    const std::vector<Part> other = {{kChunk, words(9, 300)}, {kQuery, "?"}};
    for (int i = 0; i < 4; ++i) core.run(core.request(other));  // sequences forget the chunk
    const GenerateRequest request = core.request({{kChunk, words(1, 60)}, {kQuery, "why?"}}, 24);
    const auto run = core.run(request);
    EXPECT_EQ(core.sampled(run), core.dense(request));
}

TEST_F(LocalServiceTest, CacheBlendRunsThroughTheStages) {
    core.open();
    core.run(core.request(two_chunks(1, 2, 3)));
    core.wait_idle();
    GenerateRequest request = core.request(two_chunks(2, 1, 4));
    request.reuse.policy = "cacheblend";
    request.reuse.recompute_ratio = 0.2;
    const auto run = core.run(request);
    EXPECT_EQ(run.sink->receipt()->policy, "cacheblend");
    EXPECT_EQ(run.sink->receipt()->n_blended, 22);
    EXPECT_EQ(run.sink->receipt()->n_shifted, 88);
}

TEST_F(LocalServiceTest, ExactGivesTheTokensOfTheEngineAlone) {
    const uint64_t seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    const auto pick = [&](uint64_t n) { return static_cast<uint32_t>(random() % n); };
    core.open();
    std::vector<std::vector<Part>> prompts;
    for (int round = 0; round < 150; ++round) {
        std::vector<Part> parts;
        if (!prompts.empty() && pick(3) > 0) parts = prompts[pick(prompts.size())];
        if (parts.size() > 1 && pick(2) == 0) parts.resize(1 + pick(parts.size()));
        for (uint32_t n = parts.empty() ? 1 + pick(4) : pick(3); n > 0; --n) {
            parts.push_back({kChunk, words(pick(6), 20 + 10 * pick(6))});
            if (pick(2) == 0) parts.push_back({kFixed, words(pick(50), 1 + pick(5))});
        }
        prompts.push_back(parts);
        const bool exact = pick(3) > 0;
        const GenerateRequest request = core.request(parts, 1 + static_cast<int32_t>(pick(20)),
                                                     exact ? Fidelity::kExact : Fidelity::kFast);
        if (request.prompt.tokens.size() > 1000) continue;
        const auto run = core.run(request);
        ASSERT_TRUE(run.sink->outcome());
        if (exact) {
            ASSERT_EQ(reused(run), 0);
            ASSERT_EQ(core.sampled(run), core.dense(request)) << round;
        }
        if (pick(4) == 0) core.wait_idle();
        if (testing::Test::HasFailure()) break;
    }
    EXPECT_GT(core.control.n_captures, 0);
}

TEST_F(LocalServiceTest, AConversationIsContinuedExactly) {
    core.open();
    std::vector<Part> parts = {{kFixed, words(1, 100)}, {kQuery, "first"}};
    const GenerateRequest first = core.request(parts, 10);
    const auto run = core.run(first);
    std::vector<Token> held = first.prompt.tokens;
    for (const Token token : core.sampled(run)) held.push_back(token);
    held.pop_back();  // the last token sampled was never put into the sequence
    GenerateRequest next = core.request(parts, 10);
    next.prompt.tokens = held;
    next.prompt.byte_begin.clear();
    next.prompt.tokens.push_back('x');
    const auto second = core.run(next);
    EXPECT_EQ(second.sink->receipt()->n_exact, static_cast<int32_t>(held.size()));
    EXPECT_EQ(second.sink->receipt()->n_computed, 1);
    EXPECT_EQ(core.sampled(second), core.dense(next));
}

TEST_F(LocalServiceTest, PagesSurviveTheirSequence) {
    core.engine_options.n_sequences = 1;
    core.open();
    const std::vector<Part> parts = {{kFixed, words(1, 300)}, {kQuery, "first"}};
    core.run(core.request(parts));
    core.wait_idle();
    core.run(core.request({{kFixed, words(2, 300)}}));
    const GenerateRequest again = core.request(parts, 20, Fidelity::kExact);
    const auto run = core.run(again);
    EXPECT_EQ(run.sink->receipt()->n_exact, 256);
    EXPECT_EQ(core.sampled(run), core.dense(again));
}

TEST_F(LocalServiceTest, ComposedRowsAreNeverExactLater) {
    core.engine_options.n_sequences = 1;
    core.open();
    const std::vector<Part> parts = two_chunks(1, 2, 3);
    core.run(core.request(parts));
    core.wait_idle();
    std::vector<Part> swapped = two_chunks(2, 1, 4);
    ASSERT_GT(reused(core.run(core.request(swapped))), 0);
    core.wait_idle();
    for (const Fidelity fidelity : {Fidelity::kFast, Fidelity::kExact, Fidelity::kExact}) {
        swapped.push_back({kQuery, "and then?"});
        const GenerateRequest request = core.request(swapped, 16, fidelity);
        const auto run = core.run(request);
        if (fidelity == Fidelity::kExact) {
            EXPECT_EQ(reused(run), 0);
            EXPECT_EQ(core.sampled(run), core.dense(request));
        } else {
            EXPECT_LE(run.sink->receipt()->n_exact, 9) << "BOS and system text";
        }
        core.wait_idle();
    }
}

TEST_F(LocalServiceTest, TenantsShareNothing) {
    core.open();
    ASSERT_TRUE(core.put("a", "doc", words(1, 60)));
    GenerateRequest request = core.request(two_chunks(1, 2, 3));
    request.tenant = "a";
    core.run(request);
    core.wait_idle();
    const int64_t encodes = core.control.n_encodes;
    for (const std::string tenant : {"b", ""}) {
        GenerateRequest other = core.request(two_chunks(1, 2, 3));
        other.tenant = tenant;
        const auto run = core.run(other);
        EXPECT_EQ(run.sink->receipt()->n_computed, run.sink->receipt()->n_prompt) << tenant;
        EXPECT_TRUE(core.service().list_chunks(tenant).empty());
        core.wait_idle();
    }
    EXPECT_EQ(core.control.n_encodes, encodes + 4) << "each tenant has blocks of its own";
    GenerateRequest own = core.request(two_chunks(2, 1, 4));
    own.tenant = "a";
    EXPECT_EQ(reused(core.run(own)), 110);
}

TEST_F(LocalServiceTest, EncodedTextsAreFoundAsParts) {
    core.open();
    std::promise<Result<std::vector<ChunkInfo>>> done;
    EXPECT_FALSE(core.service().is_warm("a", words(1, 60)));
    core.service().encode_text("a", words(1, 60), [&](Result<std::vector<ChunkInfo>> chunks) {
        done.set_value(std::move(chunks));
    });
    const Result<std::vector<ChunkInfo>> chunks = done.get_future().get();
    ASSERT_TRUE(chunks) << chunks.error().message;
    EXPECT_TRUE((*chunks)[0].encoded);
    EXPECT_TRUE(core.service().is_warm("a", words(1, 60)));
    EXPECT_FALSE(core.service().is_warm("b", words(1, 60)));
    EXPECT_TRUE(core.service().list_chunks("a").empty());
    GenerateRequest request = core.request({{kChunk, words(1, 60)}, {kQuery, "?"}});
    request.tenant = "a";
    EXPECT_EQ(reused(core.run(request)), 60);

    std::optional<size_t> n_chunks;
    core.service().encode_text("a", "short", [&](const Result<std::vector<ChunkInfo>>& result) {
        if (result.ok()) n_chunks = result->size();
    });
    EXPECT_EQ(n_chunks, 0u);
    EXPECT_EQ(core.put("", "doc", "short").error().code, ErrorCode::kInvalidArgument);
}

TEST_F(LocalServiceTest, RegisteredChunksAreFoundInAnyText) {
    core.open();
    const auto infos = core.put("", "doc", words(5, 80));
    ASSERT_TRUE(infos) << infos.error().message;
    ASSERT_EQ(infos->size(), 1u);
    EXPECT_EQ((*infos)[0].n_tokens, 80);
    EXPECT_EQ((*infos)[0].name, "doc");
    EXPECT_TRUE((*infos)[0].encoded);
    EXPECT_EQ((*infos)[0].tier, "ram");
    EXPECT_GT((*infos)[0].bytes, 0u);
    EXPECT_TRUE(core.service().get_chunk("", (*infos)[0].key));
    const auto run = core.run(core.request({{kFixed, "See: " + words(5, 80) + " Thanks."}}));
    EXPECT_EQ(reused(run), 80);

    EXPECT_TRUE(core.service().delete_chunk("", (*infos)[0].key));
    EXPECT_FALSE(core.service().delete_chunk("", (*infos)[0].key));
    EXPECT_EQ(core.service().get_chunk("", (*infos)[0].key).error().code, ErrorCode::kNotFound);
    const auto after = core.run(core.request({{kFixed, "Look: " + words(5, 80) + " Thanks."}}));
    EXPECT_EQ(reused(after), 0);
}

TEST_F(LocalServiceTest, LongTextIsRegisteredInSeveralChunks) {
    core.open();
    const auto infos = core.put("", "book", words(5, 500));
    ASSERT_TRUE(infos) << infos.error().message;
    EXPECT_GT(infos->size(), 3u);
    EXPECT_EQ(core.service().list_chunks("").size(), infos->size());
    const auto run =
        core.run(core.request({{kFixed, "System: "}, {kChunk, words(5, 500)}, {kQuery, "?"}}));
    EXPECT_EQ(missed(run, "first_sight"), 0);
    EXPECT_GT(reused(run), 400);
}

// The tokenizer makes another first token of a text alone than of the same text in a prompt.
TEST_F(LocalServiceTest, RegisteredChunksAreFoundWhereTheTokenizerPutsASpaceFirst) {
    core.space_prefix = true;
    core.open();
    const std::string document = "the " + words(5, 80);
    const auto infos = core.put("", "doc", document);
    ASSERT_TRUE(infos) << infos.error().message;
    ASSERT_EQ(infos->size(), 1u);
    EXPECT_EQ(infos->front().n_tokens, 80);
    for (const char* before : {"", "See:\n", "Look: ", "\n\n"}) {
        const auto run =
            core.run(core.request({{kFixed, before}, {kChunk, document}, {kQuery, "what?"}}));
        EXPECT_EQ(reused(run), 80) << "behind '" << before << "'";
        EXPECT_EQ(run.sink->receipt()->n_chunks_hit, 1);
    }
}

TEST_F(LocalServiceTest, ARequestDoesNotWaitForAChunkThatIsEncoded) {
    core.open();
    CoreHarness::Run urgent;
    std::vector<int64_t> prefills_before;  // each attempt
    const CoreHarness::EndsFirst ends_first(core);
    core.control.before_encode = [&] {
        prefills_before.push_back(core.control.n_prefills);
        if (prefills_before.size() == 1) urgent = core.submit(core.request({{kQuery, "now"}}));
    };
    const GenerateRequest first = core.request({{kChunk, words(1, 128)}, {kQuery, "what?"}});
    core.run(first);
    core.wait_idle();
    EXPECT_TRUE(urgent.sink->wait());
    EXPECT_EQ(prefills_before, (std::vector<int64_t>{1, 2})) << "given up for the request";
    core.control.before_encode = nullptr;
    EXPECT_EQ(reused(core.run(core.request({{kFixed, "x"}, {kChunk, words(1, 128)}}))), 127);
}

TEST_F(LocalServiceTest, ABusyServerGetsItsChunksToo) {
    core.engine_options.n_sequences = 8;
    core.open();
    std::vector<CoreHarness::Run> urgent;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.before_encode = [&] {
        urgent.push_back(core.submit(core.request({{kQuery, "now"}})));
    };
    const auto registered = core.put("a", "doc", words(1, 128));
    ASSERT_TRUE(registered) << registered.error().message;
    EXPECT_TRUE(registered->front().encoded);
    for (const CoreHarness::Run& run : urgent) EXPECT_TRUE(run.sink->wait());
    EXPECT_EQ(urgent.size(), 4u) << "attempts, of which the last was not given up";
}

TEST_F(LocalServiceTest, SaysThatAChunkIsQueuedUntilItIsEncoded) {
    core.open();
    const GenerateRequest request =
        core.request({{kFixed, "See: "}, {kChunk, words(1, 60)}, {kQuery, "what?"}});
    GenerateRequest of_tenant = request;
    of_tenant.tenant = "a";
    const auto reason = [&](const GenerateRequest& asked) {
        const PlanPreview plan = core.service().plan(asked).value();
        for (const PlanPreview::Part& part : plan.parts) {
            if (part.role == kChunk) return part.reason;
        }
        return std::string("no chunk");
    };
    std::vector<std::string> reasons;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.before_encode = [&] { reasons.push_back(reason(request)); };
    EXPECT_EQ(reason(request), "first_sight");
    core.run(core.request({{kChunk, words(1, 60)}, {kQuery, "what?"}}));
    core.wait_idle();
    core.control.before_encode = [&] { reasons.push_back(reason(of_tenant)); };
    ASSERT_TRUE(core.put("a", "doc", words(1, 60)));
    EXPECT_EQ(reasons, (std::vector<std::string>{"queued", "queued"}));
    for (const GenerateRequest& asked : {request, of_tenant}) EXPECT_EQ(reason(asked), "");
}

TEST_F(LocalServiceTest, PutChunkFailsWithAReason) {
    core.open();
    const auto too_short = core.put("", "", "abc");
    ASSERT_FALSE(too_short);
    EXPECT_EQ(too_short.error().code, ErrorCode::kInvalidArgument);
    core.control.encodes_to_fail = 1;
    EXPECT_FALSE(core.put("", "", words(1, 50)));
    EXPECT_TRUE(core.service().list_chunks("").empty());
    EXPECT_TRUE(core.put("", "", words(1, 50)));

    core.engine_options.support = ReuseSupport::kExactOnly;
    core.reopen();
    const auto unsupported = core.put("", "", words(1, 50));
    ASSERT_FALSE(unsupported);
    EXPECT_EQ(unsupported.error().code, ErrorCode::kUnsupported);
}

TEST_F(LocalServiceTest, ChunksAndPagesOutliveTheProcess) {
    std::string pattern = (std::filesystem::temp_directory_path() / "spolia-XXXXXX").string();
    core.options.store.directory = mkdtemp(pattern.data());
    core.open();
    ASSERT_TRUE(core.put("t", "doc", words(5, 80)));
    core.reopen();
    const auto chunks = core.service().list_chunks("t");
    ASSERT_EQ(chunks.size(), 1u);
    EXPECT_EQ(chunks[0].tier, "disk");
    GenerateRequest request = core.request({{kFixed, "See: " + words(5, 80) + " Thanks."}});
    request.tenant = "t";
    EXPECT_EQ(reused(core.run(request)), 80);
    core.wait_idle();
    core.options.store.directory.clear();
    core.reopen();
    std::filesystem::remove_all(pattern);
}

TEST_F(LocalServiceTest, PromptsOfEveryShapeAreServed) {
    core.open();
    const std::string a = words(1, 30);
    const std::string b = words(2, 30);
    const std::vector<std::vector<Part>> shapes = {
        {{kChunk, a}},
        {{kChunk, a}, {kChunk, a}},
        {{kChunk, a}, {kFixed, "-"}, {kChunk, b}, {kFixed, "-"}, {kChunk, a}},
        {{kChunk, a}, {kQuery, ""}},
        {{kFixed, "x"}, {kChunk, b}},
        {{kFixed, "x"}, {kChunk, "y"}, {kQuery, "z"}},
        {{kQuery, "?"}},
        {},
    };
    for (int pass = 0; pass < 3; ++pass) {
        for (const auto& shape : shapes) {
            for (const bool bos : {true, false}) {
                GenerateRequest request = core.request(shape, 8);
                if (!bos) {
                    request.prompt.tokens.erase(request.prompt.tokens.begin());
                    request.prompt.byte_begin.erase(request.prompt.byte_begin.begin());
                }
                if (request.prompt.tokens.empty()) continue;
                const auto run = core.run(request);
                ASSERT_TRUE(run.sink->outcome());
                EXPECT_GT(run.sink->outcome()->n_generated, 0);
            }
        }
        core.wait_idle();
    }
}

TEST_F(LocalServiceTest, RefusesWhatCanNotBeServed) {
    core.open();
    const auto code = [&](GenerateRequest request) {
        const auto refused =
            core.service().submit(std::move(request), std::make_shared<test::RecordingSink>());
        EXPECT_FALSE(refused);
        return refused ? ErrorCode::kInternal : refused.error().code;
    };
    GenerateRequest empty = core.request({});
    empty.prompt = {};
    EXPECT_EQ(code(empty), ErrorCode::kInvalidArgument);
    EXPECT_EQ(code(core.request({{kFixed, words(1, 1024)}})), ErrorCode::kContextTooLong);
    GenerateRequest foreign = core.request({{kFixed, "x"}});
    foreign.prompt.tokens.push_back(9999);
    EXPECT_EQ(code(foreign), ErrorCode::kInvalidArgument);
    GenerateRequest policy = core.request({{kFixed, "x"}});
    policy.reuse.policy = "magic";
    EXPECT_EQ(code(policy), ErrorCode::kInvalidArgument);
    GenerateRequest ratio = core.request({{kFixed, "x"}});
    ratio.reuse.recompute_ratio = 0;
    EXPECT_EQ(code(ratio), ErrorCode::kInvalidArgument);
    GenerateRequest grammar = core.request({{kFixed, "x"}});
    grammar.grammar.grammar = "invalid";
    EXPECT_EQ(code(grammar), ErrorCode::kInvalidArgument);
}

TEST_F(LocalServiceTest, AgentsHaveDefaultsOfTheirOwn) {
    core.options.reuse.agents["judge"].fidelity = Fidelity::kExact;
    core.open();
    GenerateRequest request = core.request(two_chunks(1, 2, 3));
    request.reuse.fidelity.reset();
    request.reuse.agent = "judge";
    EXPECT_EQ(core.run(request).sink->receipt()->fidelity, "exact");
    request.reuse.agent.clear();
    EXPECT_EQ(core.run(request).sink->receipt()->fidelity, "fast");
    request.reuse.agent = "jugde";
    const auto refused = core.service().submit(request, std::make_shared<test::RecordingSink>());
    ASSERT_FALSE(refused) << "it would lose its fidelity";
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(refused.error().message, testing::HasSubstr("which has judge;"));
}

TEST_F(LocalServiceTest, GenerationsEndForEveryReason) {
    core.engine_options.end_every = 0;
    core.open();
    auto run = core.run(core.request({{kFixed, "abc"}}, 5));
    EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kLength);
    EXPECT_EQ(run.sink->outcome()->n_generated, 5);

    run = core.run(core.request({{kFixed, "abc"}}, 0));
    EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kLength);
    EXPECT_EQ(run.sink->outcome()->n_generated, 0);

    const GenerateRequest to_the_end = core.request({{kFixed, words(1, 1000)}}, -1);
    run = core.run(to_the_end);
    EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kLength);
    EXPECT_EQ(run.sink->outcome()->n_generated, 1024 - 1001 + 1);
    EXPECT_EQ(core.sampled(run), core.dense(to_the_end));

    core.engine_options.end_every = 4;
    core.reopen();
    const GenerateRequest until_end = core.request({{kFixed, "abcd"}}, 500);
    run = core.run(until_end);
    EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kStop);
    EXPECT_EQ(core.sampled(run), core.dense(until_end));
    EXPECT_EQ(core.sampled(run).back(), test::FakeTextModel::kEnd);
    GenerateRequest beyond = core.request({{kFixed, "abcd"}}, 100);
    beyond.sampling.ignore_eos = true;
    run = core.run(beyond);
    EXPECT_EQ(run.sink->outcome()->n_generated, 100);
}

TEST_F(LocalServiceTest, StopStringsEndTheText) {
    core.engine_options.end_every = 0;
    core.open();
    const auto plain = core.run(core.request({{kFixed, "abc"}}, 200));
    const std::string text = plain.sink->text();
    size_t at = 20;
    while (static_cast<uint8_t>(text[at]) >= 0x80) ++at;
    size_t end = at + 1;
    while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
    const std::string stop = text.substr(at, end - at);
    GenerateRequest request = core.request({{kFixed, "abc"}}, 200);
    request.stops = {"never", stop};
    const auto run = core.run(request);
    EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kStop);
    EXPECT_EQ(run.sink->outcome()->stop_word, stop);
    EXPECT_EQ(run.sink->text(), text.substr(0, text.find(stop)));
}

TEST_F(LocalServiceTest, CancelsInEveryPhase) {
    core.engine_options.n_sequences = 1;
    core.engine_options.end_every = 0;
    core.engine_options.n_ctx = 100'000;
    core.open();
    const auto expect_cancelled = [&](const CoreHarness::Run& run, bool started) {
        ASSERT_TRUE(run.sink->wait());
        ASSERT_TRUE(run.sink->outcome());
        EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kCancelled);
        EXPECT_EQ(run.sink->receipt().has_value(), started);
    };

    // While others decode: waiting in the queue.
    std::atomic<GenerationId> waiting = 0;
    std::atomic<GenerationId> decoding = 0;
    std::atomic<int> n_texts = 0;
    CoreHarness::Run first;
    first.sink->when_text = [&] {
        ++n_texts;
        if (waiting != 0) core.service().cancel(waiting.exchange(0));
    };
    first = core.submit(core.request({{kFixed, "abc"}}, -1), first);
    auto second = core.submit(core.request({{kFixed, "def"}}, -1));
    waiting = second.id;
    expect_cancelled(second, false);

    // While decoding.
    while (n_texts < 5) std::this_thread::yield();
    decoding = first.id;
    core.service().cancel(decoding);
    expect_cancelled(first, true);

    // While prefilling, from a batch's end.
    std::atomic<bool> armed = true;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.between_batches = [&](int batch) {
        if (batch == 1 && armed.exchange(false)) core.service().cancel(second.id + 1);
    };
    const auto third = core.submit(core.request({{kFixed, words(3, 400)}}, 5));
    EXPECT_EQ(third.id, second.id + 1);
    expect_cancelled(third, false);

    // Ended and unknown ones are ignored, and the next request is served.
    for (const GenerationId id : {first.id, third.id, GenerationId{999}}) {
        core.service().cancel(id);
    }
    const GenerateRequest next = core.request({{kFixed, words(3, 400)}}, 5);
    EXPECT_EQ(core.sampled(core.run(next)), core.dense(next));
    core.service().cancel(0);
}

TEST_F(LocalServiceTest, RefusesBeyondTheQueue) {
    core.engine_options.n_sequences = 1;
    core.engine_options.end_every = 0;
    core.options.queue_max = 2;
    core.open();
    std::atomic<bool> blocked = true;
    std::atomic<bool> reached = false;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.before_prefill = [&] {
        reached = true;
        while (blocked) std::this_thread::yield();
    };
    std::vector<CoreHarness::Run> runs;
    runs.push_back(core.submit(core.request({{kFixed, "a"}}, 3)));
    while (!reached) std::this_thread::yield();
    for (int i = 0; i < 2; ++i) runs.push_back(core.submit(core.request({{kFixed, "b"}}, 3)));
    EXPECT_EQ(core.service().stats().queue_depth, 2);
    auto sink = std::make_shared<test::RecordingSink>();
    const auto refused = core.service().submit(core.request({{kFixed, "c"}}, 3), sink);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kOverloaded);
    blocked = false;
    for (const auto& run : runs) {
        ASSERT_TRUE(run.sink->wait());
        EXPECT_TRUE(run.sink->outcome());
    }
    EXPECT_FALSE(sink->outcome() || sink->error()) << "a refused sink is never called";
    EXPECT_EQ(core.service().stats().requests, 3u);
}

TEST_F(LocalServiceTest, AFailingEngineFailsTheRequestOnly) {
    core.engine_options.end_every = 0;
    core.open();
    core.run(core.request(two_chunks(1, 2, 3)));
    core.wait_idle();
    core.control.prefills_to_fail = 1;
    const auto failed = core.run(core.request({{kFixed, words(7, 200)}}));
    ASSERT_TRUE(failed.sink->error());
    EXPECT_EQ(failed.sink->error()->code, ErrorCode::kInternal);
    EXPECT_FALSE(failed.sink->outcome());

    // Where blocks were in use the prompt is tried again without any.
    std::vector<Part> parts = two_chunks(2, 1, 3);
    parts.push_back({kFixed, words(9, 200)});
    const GenerateRequest reusing = core.request(parts);
    core.control.prefills_to_fail = 1;
    const auto again = core.run(reusing);
    ASSERT_TRUE(again.sink->outcome());
    EXPECT_EQ(again.sink->receipt()->policy, "dense");
    EXPECT_EQ(again.sink->receipt()->n_exact, 0);
    EXPECT_EQ(core.sampled(again), core.dense(reusing));

    core.control.decodes_to_fail = 1;
    const auto cut_off = core.run(core.request({{kFixed, words(8, 50)}}));
    ASSERT_TRUE(cut_off.sink->error());
    EXPECT_TRUE(cut_off.sink->receipt()) << "it had started";

    for (const uint32_t n : {7u, 8u, 7u, 8u}) {
        const GenerateRequest next = core.request({{kFixed, words(n, 200)}}, 10);
        EXPECT_EQ(core.sampled(core.run(next)), core.dense(next));
    }
    EXPECT_EQ(core.service().stats().sequences_busy, 0);
}

TEST_F(LocalServiceTest, AFullStoreMeansDense) {
    core.options.store.ram_bytes_max = 1;
    core.open();
    for (int i = 0; i < 3; ++i) {
        const GenerateRequest request = core.request(two_chunks(1, 2 + i, 3), 10);
        const auto run = core.run(request);
        EXPECT_EQ(reused(run), 0);
        EXPECT_EQ(core.sampled(run), core.dense(request));
        core.wait_idle();
    }
    EXPECT_FALSE(core.put("", "", words(1, 60)));
}

TEST_F(LocalServiceTest, AStoreTooSmallForAPromptServesWhatFits) {
    core.options.capture_pages = false;
    core.options.store.ram_bytes_max = 70 * 1024;
    core.open();
    std::vector<Part> parts = {{kFixed, "S: "}};
    for (uint32_t i = 0; i < 8; ++i) parts.push_back({kChunk, words(i, 100)});
    for (int pass = 0; pass < 3; ++pass) {
        parts[0].text += "x";
        EXPECT_TRUE(core.run(core.request(parts)).sink->outcome());
        core.wait_idle();
    }
}

TEST_F(LocalServiceTest, StreamsGoOnWhileAnotherPromptIsComputed) {
    core.engine_options.end_every = 0;
    core.open();
    // The stream waits for the other request to come, so that it is not over before.
    std::atomic<bool> submitted = false;
    std::atomic<int> n_texts = 0;
    CoreHarness::Run stream;
    stream.sink->when_text = [&] {
        ++n_texts;
        while (n_texts > 2 && !submitted) std::this_thread::yield();
    };
    stream = core.submit(core.request({{kFixed, "abc"}}, -1), stream);
    while (n_texts < 2) std::this_thread::yield();
    std::atomic<int64_t> decodes_at_first_batch = -1;
    std::atomic<int64_t> decodes_at_last_batch = -1;
    const CoreHarness::EndsFirst ends_first(core);
    core.control.between_batches = [&](int batch) {
        (batch == 0 ? decodes_at_first_batch : decodes_at_last_batch) =
            core.control.n_decodes.load();
    };
    const GenerateRequest request = core.request({{kFixed, words(1, 600)}}, 4);
    const auto run = core.submit(request);
    submitted = true;
    ASSERT_TRUE(run.sink->wait());
    EXPECT_EQ(core.sampled(run), core.dense(request));
    EXPECT_GE(decodes_at_last_batch - decodes_at_first_batch, 7) << "at least one a batch";
    core.service().cancel(stream.id);
    ASSERT_TRUE(stream.sink->wait());
}

TEST_F(LocalServiceTest, ShutdownCancelsEverything) {
    core.engine_options.n_sequences = 1;
    core.engine_options.end_every = 0;
    core.engine_options.n_ctx = 200'000;
    core.open();
    std::atomic<bool> started = false;
    CoreHarness::Run running;
    running.sink->when_text = [&] { started = true; };
    running = core.submit(core.request({{kFixed, "abc"}}, -1), running);
    const auto waiting = core.submit(core.request({{kFixed, "def"}}, -1));
    while (!started) std::this_thread::yield();
    core.reopen();
    for (const auto& run : {running, waiting}) {
        ASSERT_TRUE(run.sink->wait());
        ASSERT_TRUE(run.sink->outcome());
        EXPECT_EQ(run.sink->outcome()->finish, FinishReason::kCancelled);
    }
}

TEST_F(LocalServiceTest, PlanShowsWhatARequestWouldReuse) {
    core.open();
    core.run(core.request(two_chunks(1, 2, 3)));
    core.wait_idle();
    const int64_t prefills = core.control.n_prefills;
    const GenerateRequest request = core.request(two_chunks(2, 1, 4));
    const auto preview = core.service().plan(request);
    ASSERT_TRUE(preview);
    EXPECT_EQ(preview->policy, "epic");
    EXPECT_GT(preview->dense_ms, preview->chosen_ms);
    EXPECT_GT(preview->chosen_ms, 0);
    int32_t n_reused = 0;
    for (const PlanPreview::Part& part : preview->parts) {
        if (part.action == "reuse") n_reused += part.span.size();
    }
    EXPECT_EQ(n_reused, 110);
    EXPECT_EQ(core.control.n_prefills, prefills);
    EXPECT_EQ(reused(core.run(request)), n_reused);
    EXPECT_FALSE(core.service().plan(GenerateRequest{}));
}

TEST_F(LocalServiceTest, ExportsMetrics) {
    core.open();
    core.run(core.request(two_chunks(1, 2, 3)));
    core.wait_idle();
    core.run(core.request(two_chunks(2, 1, 4)));
    const std::string text = core.service().metrics_text();
    for (const char* line :
         {"spolia_prompt_tokens_total{source=\"shifted\"} 102",
          "spolia_misses_total{reason=\"first_sight\"} 1", "spolia_chunks_encoded_total 2"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
    }
}

}  // namespace
}  // namespace spolia
