#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/llama_server/slot_table.h"
#include "adapters/openai/usage_reader.h"
#include "broker/http/forward.h"
#include "broker/proxy/handover_counts.h"
#include "broker/proxy/receipt_writer.h"
#include "broker/proxy/server_speed.h"
#include "broker/proxy/slot_composer.h"
#include "broker/proxy/slot_keeper.h"
#include "index/thread_annotations.h"

namespace spolia {

// What the requests to one llama-server share.
struct SlotState {
    explicit SlotState(int32_t n_slots) : table(n_slots) {}

    SlotTable table;
    ServerSpeed speed;
    HandoverCounts counts;
    // An exchange broke off: the server may be another one now.
    std::atomic<bool> suspect = false;

    // Takes a slot in which the server computed much of a prompt (second), to keep what is there.
    using Keep = std::function<void(SlotLease, std::vector<Token>)>;
    void set_keep(Keep keep) EXCLUDES(mutex_);
    // False, and both stay as they are, where nobody wants it.
    bool offer(SlotLease& lease, std::vector<Token>& prompt) EXCLUDES(mutex_);

private:
    Mutex mutex_;
    Keep keep_ GUARDED_BY(mutex_);
};

// Follows a request that tells the server what to do with slots, or with itself: it may be another
// one then.
class AdministrationWatch final : public ForwardWatch {
public:
    explicit AdministrationWatch(std::shared_ptr<SlotState> state) : state_(std::move(state)) {}

    void on_end(End /*end*/) override { state_->suspect = true; }

private:
    const std::shared_ptr<SlotState> state_;
};

// Follows a request whose slot the server chooses.
class ChoiceWatch final : public ForwardWatch {
public:
    ChoiceWatch(std::shared_ptr<SlotState> state, SlotChoice choice, std::string fallback)
        : state_(std::move(state)), choice_(std::move(choice)), fallback_(std::move(fallback)) {
        choice_->send();
    }

    void on_response(int status, std::string_view content_type, HttpHeaders& added) override;
    void on_end(End end) override;

private:
    const std::shared_ptr<SlotState> state_;
    std::optional<SlotChoice> choice_;  // until the end: its slot is busy as long
    const std::string fallback_;
};

// Follows a request that was sent to a slot: tells the client how its prompt got there, learns from
// what the server says of it whether what was put into the slot was used, and holds the slot until
// the end.
class SlotWatch final : public ForwardWatch {
public:
    SlotWatch(std::shared_ptr<SlotState> state, SlotLease lease, std::vector<Token> prompt,
              std::string request_id, SlotFill fill);

    void on_response(int status, std::string_view content_type, HttpHeaders& added) override;
    void on_body(std::string_view bytes) override;
    bool changes_body() const override { return writer_.has_value(); }
    std::string_view change(std::string_view bytes, bool last) override {
        return writer_->pass(bytes, last);
    }
    void on_end(End end) override;

private:
    void learn(const UpstreamUsage& usage);
    // Of a prompt of which the server computed so many tokens.
    void settle(int64_t n_computed);

    const std::shared_ptr<SlotState> state_;
    std::optional<SlotLease> lease_;  // until the end
    std::vector<Token> prompt_;
    const std::string request_id_;
    const SlotFill fill_;
    std::optional<UsageReader> reader_;    // of an answer
    std::optional<ReceiptWriter> writer_;  // of one whose prompt was put into the slot
};

}  // namespace spolia
