#include "broker/proxy/llama_server_proxy.h"

#include <atomic>
#include <cstring>
#include <future>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <variant>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/support/core_harness.h"
#include "tests/support/fake_llama_server.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using Json = nlohmann::json;
using test::words;

const std::string kFirst = words(1, 60);
const std::string kSecond = words(2, 60);
const Json kFast = {{"fidelity", "fast"}, {"policy", "none"}};

class LlamaServerProxyTest : public ::testing::Test {
protected:
    LlamaServerProxyTest() {
        core_.control.before_prefill = [this] {
            if (leaves_) gone_.request_stop();
        };
        core_.open();
        const TextModel& text = core_.service().text();
        server_.directory = folder_.path;
        server_.form.layout = core_.service().model().kv;
        server_.tokens_of = [&text](const std::string& prompt) {
            return text.tokenize(prompt, true, true)->tokens;
        };
        server_.rows_of = [](std::vector<Token> tokens) {
            return [states = test::FakeEngine::dense_states(tokens)](
                       int32_t layer, bool v, size_t row, std::span<uint16_t> elements) {
                if (layer == 0 && !v)
                    std::memcpy(elements.data(), &states[row], sizeof states[row]);
            };
        };
        config_.urls = {"http://127.0.0.1:9"};
    }

    void open(bool with_model = true) {
        const LlamaServerClient client(server_.call());
        proxy_ = std::make_unique<LlamaServerProxy>(
            *Upstream::open(config_.urls[0], config_), server_.call(), *client.props(),
            with_model ? &core_.service() : nullptr, folder_.path, JsonLimits());
        while (with_model && !proxy_->hands_over()) std::this_thread::yield();
    }

    static HttpRequest completion(const std::string& prompt, Json spolia, Json more = {}) {
        Json body = {{"prompt", prompt}, {"spolia", std::move(spolia)}};
        body.update(more.is_null() ? Json::object() : more);
        HttpRequest request;
        request.method = "POST";
        request.path = "/v1/completions";
        request.body = body.dump();
        return request;
    }

    ReadyReply ask(const HttpRequest& request, const std::string& tenant = "") {
        Reply reply = proxy_->route(request, tenant);
        if (!std::holds_alternative<Deferred>(reply)) {
            ADD_FAILURE() << "not a request that generates";
            return HttpResponse();
        }
        std::promise<ReadyReply> promise;
        std::get<Deferred>(reply).start(
            [&](ReadyReply ready) { promise.set_value(std::move(ready)); }, std::stop_token());
        return promise.get_future().get();
    }
    Forward forward(const HttpRequest& request, const std::string& tenant = "") {
        ReadyReply reply = ask(request, tenant);
        EXPECT_TRUE(std::holds_alternative<Forward>(reply));
        return std::get<Forward>(std::move(reply));
    }

    // As if the server had answered so; returns the headers and the body for the client.
    struct Seen {
        std::map<std::string, std::string> headers;
        std::string body;
    };
    static Seen answer(const Forward& forward, int32_t cache_n, int32_t prompt_n = 1) {
        HttpHeaders added;
        const Json body = {{"usage", {{"prompt_tokens_details", {{"cached_tokens", cache_n}}}}},
                           {"timings", {{"cache_n", cache_n}, {"prompt_n", prompt_n}}}};
        const std::string text = body.dump();
        forward.watch->on_response(200, "application/json", added);
        forward.watch->on_body(text);
        Seen seen{{added.begin(), added.end()}, text};
        if (forward.watch->changes_body()) seen.body = forward.watch->change(text, true);
        forward.watch->on_end(ForwardWatch::End::kComplete);
        return seen;
    }
    static std::string fallback(const Forward& forward) {
        return answer(forward, 0).headers["x-spolia-fallback"];
    }

    void put_documents() {
        ASSERT_TRUE(core_.put("", "a", kFirst).ok());
        ASSERT_TRUE(core_.put("", "b", kSecond).ok());
    }
    static std::string prompt_of(const std::string& a, const std::string& b) {
        return a + "\n\n" + b + "\n\nquestion";
    }
    bool counted(const std::string& line) {
        return proxy_->metrics_text().find(line + '\n') != std::string::npos;
    }

    const test::TestFolder folder_;
    std::atomic<bool> leaves_ = false;  // the client, once its prompt is being computed
    std::stop_source gone_;
    test::CoreHarness core_;
    test::FakeLlamaServer server_;
    UpstreamConfig config_;
    std::unique_ptr<LlamaServerProxy> proxy_;
};

TEST_F(LlamaServerProxyTest, PutsKnownTextIntoASlot) {
    put_documents();
    open();
    const std::string prompt = prompt_of(kSecond, kFirst);
    const Forward sent = forward(completion(prompt, kFast, {{"temperature", 0.5}}));
    const Json body = Json::parse(*sent.body);
    EXPECT_EQ(body["temperature"], 0.5);
    EXPECT_EQ(body["cache_prompt"], true);
    const std::vector<Token> tokens = server_.tokens_of(prompt);
    EXPECT_EQ(server_.tokens_in(body["id_slot"]), tokens);

    const auto n_tokens = static_cast<int32_t>(tokens.size());
    Seen seen = answer(sent, n_tokens - 1);
    EXPECT_EQ(seen.headers["x-spolia-policy"], "none");
    EXPECT_EQ(seen.headers["x-spolia-reused"], "120");
    const Json response = Json::parse(seen.body);
    EXPECT_EQ(response["spolia"]["tokens"]["shifted"], 120);
    // Rows in front of the first chunk, at most.
    EXPECT_LT(response["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
    EXPECT_TRUE(counted("spolia_handovers_total{result=\"taken\"} 1"));
}

TEST_F(LlamaServerProxyTest, CountsWhatTheServerDidNotUse) {
    put_documents();
    open();
    answer(forward(completion(prompt_of(kSecond, kFirst), kFast)), 3);
    EXPECT_TRUE(counted("spolia_handovers_total{result=\"not_taken\"} 1"));
    EXPECT_TRUE(counted("spolia_handovers_total{result=\"taken\"} 0"));
}

TEST_F(LlamaServerProxyTest, LeavesTheRestToTheServer) {
    open();
    const Forward unknown = forward(completion(prompt_of(kFirst, kSecond), kFast));
    EXPECT_TRUE(Json::parse(*unknown.body).contains("id_slot"));
    EXPECT_EQ(fallback(unknown), "first_sight");
    EXPECT_TRUE(counted("spolia_handover_fallbacks_total{reason=\"first_sight\"} 1"));

    const HttpRequest own = completion("abc", kFast, {{"id_slot", 1}});
    const Forward chosen = forward(own);
    EXPECT_FALSE(chosen.body) << "it goes as it came";
    EXPECT_EQ(fallback(chosen), "own_way");

    HttpRequest broken = own;
    broken.body = "{";
    EXPECT_FALSE(forward(broken).body);

    server_.tokens_of = [](const std::string&) { return std::vector<Token>{1}; };
    EXPECT_EQ(fallback(forward(completion("abc", kFast))), "tokens_differ");
}

TEST_F(LlamaServerProxyTest, AnswersForItsOwnFields) {
    open();
    const ReadyReply reply = ask(completion("abc", {{"fidelity", "best"}}));
    ASSERT_TRUE(std::holds_alternative<HttpResponse>(reply));
    EXPECT_EQ(std::get<HttpResponse>(reply).status, 400);
}

TEST_F(LlamaServerProxyTest, OtherRequestsPassAsTheyCome) {
    open();
    HttpRequest props;
    props.method = "GET";
    props.path = "/props";
    EXPECT_FALSE(proxy_->wants_body(props));
    const Reply reply = proxy_->route(props, "");
    ASSERT_TRUE(std::holds_alternative<Forward>(reply));
    EXPECT_FALSE(std::get<Forward>(reply).body);
}

// What a slot holds is the server's cached prefix, and only exact rows of the same tenant may be.
TEST_F(LlamaServerProxyTest, ClearsSlotsThatHoldWhatIsNotExact) {
    server_.slots.resize(1);
    put_documents();
    open();
    const std::string erase = "POST /slots/0?action=erase";
    const size_t n_before = server_.n_calls(erase);  // of the probe
    const std::string prompt = prompt_of(kSecond, kFirst);
    answer(forward(completion(prompt, kFast)), 127);
    const Json exact = {{"fidelity", "exact"}};
    EXPECT_EQ(fallback(forward(completion(prompt, exact))), "fidelity_exact");
    EXPECT_EQ(server_.n_calls(erase), n_before + 1);
    // The server has computed it by now: that may stay.
    EXPECT_EQ(fallback(forward(completion(prompt, exact))), "fidelity_exact");
    EXPECT_EQ(server_.n_calls(erase), n_before + 1);
    EXPECT_EQ(fallback(forward(completion(prompt, exact), "other")), "fidelity_exact");
    EXPECT_EQ(server_.n_calls(erase), n_before + 2);
}

// Its rows are in the slot, whether or not anybody read the answer.
TEST_F(LlamaServerProxyTest, ClearsWhatAClientLeftBehind) {
    server_.slots.resize(1);
    put_documents();
    open();
    const std::string prompt = prompt_of(kSecond, kFirst);
    forward(completion(prompt, kFast)).watch->on_end(ForwardWatch::End::kClientGone);
    const std::string erase = "POST /slots/0?action=erase";
    const size_t n_before = server_.n_calls(erase);
    forward(completion(prompt, {{"fidelity", "exact"}}));
    EXPECT_EQ(server_.n_calls(erase), n_before + 1);
}

// What the server computed outlives the slot, answer and all.
TEST_F(LlamaServerProxyTest, KeepsLongPromptsThatTheServerComputed) {
    server_.slots.resize(1);
    open();
    const std::string prompt = words(7, 600);
    const std::string said = "and an answer";
    const Json exact = {{"fidelity", "exact"}};
    const Forward first = forward(completion(prompt, exact));
    const std::vector<Token> computed = server_.tokens_of(prompt + said);
    server_.set_tokens(0, computed);
    answer(first, 0, static_cast<int32_t>(computed.size()));
    while (core_.service().stats().blocks.ram_blocks < computed.size() / 64) {
        std::this_thread::yield();
    }
    answer(forward(completion(words(8, 100), exact)), 0);

    Seen again = answer(forward(completion(prompt + said + ", and more", exact)), 600);
    EXPECT_EQ(again.headers["x-spolia-policy"], "exact");
    EXPECT_GE(std::stoi("0" + again.headers["x-spolia-exact"]), 512);
}

TEST_F(LlamaServerProxyTest, ChecksTheServerAnewOnceItBrokeOff) {
    put_documents();
    open();
    const std::string save = "POST /slots/1?action=save";
    const size_t n_before = server_.n_calls(save) + server_.n_calls("POST /slots/0?action=save");
    const Forward sent = forward(completion(prompt_of(kSecond, kFirst), kFast));
    sent.watch->on_end(ForwardWatch::End::kUpstreamFailed);
    EXPECT_FALSE(proxy_->hands_over());
    while (!proxy_->hands_over()) std::this_thread::yield();
    EXPECT_EQ(server_.n_calls(save) + server_.n_calls("POST /slots/0?action=save"), n_before + 1);
}

TEST_F(LlamaServerProxyTest, HandsNothingToAServerWithOtherRows) {
    put_documents();
    server_.rows_of = {};
    const LlamaServerClient client(server_.call());
    proxy_ = std::make_unique<LlamaServerProxy>(*Upstream::open(config_.urls[0], config_),
                                                server_.call(), *client.props(), &core_.service(),
                                                folder_.path, JsonLimits());
    // Until it has looked at them.
    while (server_.n_calls("POST /slots/0?action=save") == 0) std::this_thread::yield();
    EXPECT_EQ(fallback(forward(completion(prompt_of(kSecond, kFirst), kFast))), "no_handover");
    EXPECT_FALSE(proxy_->hands_over());
}

// Composed rows must not become the prefix of a request whose slot the server chooses.
TEST_F(LlamaServerProxyTest, ClearsSlotsBeforeTheServerChooses) {
    put_documents();
    open();
    HttpRequest message;
    message.method = "POST";
    message.path = "/v1/messages";
    EXPECT_TRUE(proxy_->wants_body(message)) << "no choice waits for an upload";
    const HttpRequest fast = completion(prompt_of(kSecond, kFirst), kFast);
    const HttpRequest own = completion("abc", kFast, {{"n", 2}});
    const std::vector<Token> tokens = server_.tokens_of(prompt_of(kSecond, kFirst));
    for (const HttpRequest& request : {message, own}) {
        answer(forward(fast), static_cast<int32_t>(tokens.size()) - 1);
        EXPECT_TRUE(server_.tokens_in(0) == tokens || server_.tokens_in(1) == tokens);
        const Forward sent = forward(request);
        EXPECT_FALSE(sent.body);
        EXPECT_TRUE(server_.tokens_in(0).empty());
        EXPECT_TRUE(server_.tokens_in(1).empty());
        EXPECT_EQ(fallback(forward(fast)), "server_chooses");
        answer(sent, 0);
        EXPECT_EQ(answer(forward(fast), 0).headers["x-spolia-policy"], "none");
    }
}

TEST_F(LlamaServerProxyTest, DoesNothingForClientsThatWentAway) {
    put_documents();
    open();
    const size_t n_before = server_.n_calls("POST /tokenize");
    std::stop_source gone;
    gone.request_stop();
    Reply reply = proxy_->route(completion(prompt_of(kSecond, kFirst), kFast), "");
    std::get<Deferred>(reply).start([](ReadyReply) { FAIL() << "nobody waits"; }, gone.get_token());
    // Behind it, on as many threads as there are slots.
    answer(forward(completion("abc", kFast)), 0);
    answer(forward(completion("abc", kFast)), 0);
    EXPECT_EQ(server_.n_calls("POST /tokenize"), n_before + 2);
}

TEST_F(LlamaServerProxyTest, RestoresNothingOnceTheClientIsGone) {
    server_.slots.resize(1);
    put_documents();
    open();
    leaves_ = true;
    Reply reply = proxy_->route(completion(prompt_of(kSecond, kFirst), kFast), "");
    std::get<Deferred>(reply).start([](ReadyReply) { FAIL() << "nobody waits"; },
                                    gone_.get_token());
    const Forward next = forward(completion(words(9, 60), kFast));
    EXPECT_EQ(server_.n_calls("POST /slots/0?action=restore"), 1u) << "the probe's own";
    EXPECT_EQ(fallback(next), "nothing_known");
}

// The server's HTTP library would read another path than we do.
TEST_F(LlamaServerProxyTest, RefusesTargetsThatTheServerReadsOtherwise) {
    open();
    for (const char* target :
         {"/%u0073lots/0?action=erase", "/v1/completions#x", "/x%4", "/x%zz"}) {
        HttpRequest request;
        request.method = "POST";
        request.target = target;
        set_target(request, target);
        const Reply reply = proxy_->route(request, "tenant");
        ASSERT_TRUE(std::holds_alternative<HttpResponse>(reply)) << target;
        EXPECT_EQ(std::get<HttpResponse>(reply).status, 400) << target;
    }
    HttpRequest fine;
    fine.method = "GET";
    fine.target = "/v1/models?x=%20a";
    set_target(fine, fine.target);
    EXPECT_TRUE(std::holds_alternative<Forward>(proxy_->route(fine, "")));
}

// One that saves no slots has none with composed rows, and tells nobody apart.
TEST_F(LlamaServerProxyTest, LetsAServerChooseThatClearsNothing) {
    server_.directory.clear();
    server_.saves_slots = false;
    open(false);
    answer(forward(completion(kFirst, kFast), "a"), 0);
    HttpRequest message;
    message.method = "POST";
    message.path = "/v1/messages";
    answer(forward(message, "b"), 0);
    const Forward next = forward(completion(kFirst, kFast), "b");
    EXPECT_EQ(Json::parse(*next.body)["cache_prompt"], false) << "the slot may hold a's rows";
}

// What the server was too slow for may still be done, behind our back.
TEST_F(LlamaServerProxyTest, ClearsSlotsAfterARestoreThatFailed) {
    server_.slots.resize(1);
    put_documents();
    open();
    const std::string erase = "POST /slots/0?action=erase";
    answer(forward(completion("abc", {{"fidelity", "exact"}})), 0);
    const size_t n_before = server_.n_calls(erase);
    server_.refuses_restores = true;
    const Forward sent = forward(completion(prompt_of(kSecond, kFirst), kFast));
    EXPECT_EQ(server_.n_calls(erase), n_before + 1);
    EXPECT_EQ(Json::parse(*sent.body)["cache_prompt"], true);
    EXPECT_FALSE(proxy_->hands_over()) << "the server is checked first";
    EXPECT_EQ(fallback(sent), "restore_failed");
}

TEST_F(LlamaServerProxyTest, WithoutAModelPromptsGoWhereTheirBeginningIs) {
    server_.slots.resize(3);
    open(false);
    const auto slot_of = [&](const std::string& prompt) {
        const Forward sent = forward(completion(prompt, kFast));
        EXPECT_EQ(fallback(sent), "no_model");
        return Json::parse(*sent.body)["id_slot"].get<int>();
    };
    const int first = slot_of(kFirst);
    EXPECT_NE(slot_of(kSecond), first);
    EXPECT_EQ(slot_of(kFirst + " and more"), first);
}

}  // namespace
}  // namespace spolia
