#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "adapters/llama_server/server_client.h"
#include "adapters/llama_server/slot_file.h"
#include "index/thread_annotations.h"
#include "tests/support/slot_bytes.h"

namespace spolia::test {

// The calls that spolia makes to a llama-server, answered from a table of slots: what is computed,
// saved, restored and reused, without a model. Its ways of going wrong can be chosen.
struct FakeLlamaServer {
    struct Slot {
        std::vector<Token> tokens;
    };

    SlotBytes form;  // of the files that it saves and restores
    std::filesystem::path directory;
    std::vector<Slot> slots = std::vector<Slot>(2);
    int32_t n_ctx = 256;
    bool keeps_prompts = false;     // --cache-ram
    bool ignores_restored = false;  // as models with sliding windows do
    bool saves_nothing = false;     // its folder is another one
    bool saves_slots = true;        // --slot-save-path
    bool refuses_restores = false;
    bool gone = false;
    std::function<std::vector<Token>(const std::string&)> tokens_of;  // empty: one a byte
    // Of all tokens of a slot; empty: those of SlotBytes.
    std::function<decltype(SlotBytes::fill_row)(std::vector<Token>)> rows_of;

    ServerCall call() {
        return [this](std::string_view method, std::string_view target, std::string body) {
            return answer(method, target, body);
        };
    }

    Result<ServerReply> answer(std::string_view method, std::string_view target,
                               const std::string& body) {
        using Json = nlohmann::json;
        const MutexLock lock(mutex_);
        calls_.push_back(std::string(method) + " " + std::string(target));
        if (gone) return Error{ErrorCode::kIo, "no answer from the test's server"};
        const Json request = body.empty() ? Json::object() : Json::parse(body);
        if (target == "/props") {
            return ok({{"total_slots", slots.size()},
                       {"build_info", "b1-test"},
                       {"model_path", "/models/test.gguf"},
                       {"chat_template", "none"},
                       {"default_generation_settings", {{"n_ctx", n_ctx}}}});
        }
        if (target == "/completion") return complete(request);
        if (target == "/tokenize") return tokenize(request);
        if (target.starts_with("/slots/")) {
            const auto slot = static_cast<size_t>(target[7] - '0');
            const std::string file = request.value("filename", "");
            if (!saves_slots) return refuse(501, "does not support slots action");
            if (target.ends_with("=erase")) return slots[slot] = {}, ok(Json::object());
            if (target.ends_with("=save")) return save(slot, file);
            if (target.ends_with("=restore")) return restore(slot, file);
        }
        return refuse(404, "not found");
    }

    size_t n_calls(const std::string& call) {
        const MutexLock lock(mutex_);
        return static_cast<size_t>(std::ranges::count(calls_, call));
    }
    std::vector<Token> tokens_in(size_t slot) {
        const MutexLock lock(mutex_);
        return slots[slot].tokens;
    }
    void set_tokens(size_t slot, std::vector<Token> tokens) {
        const MutexLock lock(mutex_);
        slots[slot].tokens = std::move(tokens);
    }

private:
    static ServerReply ok(const nlohmann::json& json) { return {200, json.dump()}; }
    static ServerReply refuse(int status, const std::string& message) {
        return {status, nlohmann::json{{"error", {{"message", message}}}}.dump()};
    }

    ServerReply tokenize(const nlohmann::json& request) const {
        const auto text = request.at("content").get<std::string>();
        return ok({{"tokens",
                    tokens_of ? tokens_of(text) : std::vector<Token>(text.begin(), text.end())}});
    }

    ServerReply complete(const nlohmann::json& request) {
        const auto prompt = request.at("prompt").get<std::vector<Token>>();
        Slot& slot = slots.at(request.at("id_slot").get<size_t>());
        if (keeps_prompts) bring_back(slot, prompt);
        const auto same = std::ranges::mismatch(slot.tokens, prompt).in1 - slot.tokens.begin();
        const auto cached = std::min<int64_t>(same, static_cast<int64_t>(prompt.size()) - 1);
        slot.tokens = prompt;
        return ok({{"content", "x"},
                   {"timings",
                    {{"cache_n", cached},
                     {"prompt_n", static_cast<int64_t>(prompt.size()) - cached},
                     {"prompt_ms", 12.5}}}});
    }

    void bring_back(Slot& slot, const std::vector<Token>& prompt) {
        if (!slot.tokens.empty() && slot.tokens.front() == prompt.front()) return;
        kept_.push_back(slot.tokens);
        for (const std::vector<Token>& each : kept_) {
            if (!each.empty() && each.front() == prompt.front()) slot.tokens = each;
        }
    }

    ServerReply save(size_t slot, const std::string& file) {
        if (directory.empty()) return refuse(501, "does not support slots action");
        SlotBytes saved = form;
        saved.tokens = slots[slot].tokens;
        saved.positions.resize(saved.tokens.size());
        for (size_t i = 0; i < saved.positions.size(); ++i) {
            saved.positions[i] = static_cast<int32_t>(i);
        }
        if (rows_of) saved.fill_row = rows_of(saved.tokens);
        if (!saves_nothing) std::ofstream(directory / file) << saved.bytes();
        return ok({{"n_saved", saved.tokens.size()}});
    }

    ServerReply restore(size_t slot, const std::string& file) {
        std::ifstream in(directory / file);
        const std::string bytes(std::istreambuf_iterator<char>(in), {});
        const Result<SlotFile> read = parse_slot_file(std::as_bytes(std::span(bytes)), form.layout);
        if (refuses_restores || !read.ok() || read->version != form.version) {
            slots[slot] = {};
            return refuse(400, "Unable to restore slot");
        }
        slots[slot] = {ignores_restored ? std::vector<Token>() : read->tokens};
        return ok({{"n_restored", read->tokens.size()}});
    }

    std::vector<std::vector<Token>> kept_;
    Mutex mutex_;
    std::vector<std::string> calls_ GUARDED_BY(mutex_);  // "METHOD TARGET"
};

}  // namespace spolia::test
