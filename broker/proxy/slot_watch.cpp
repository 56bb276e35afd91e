#include "broker/proxy/slot_watch.h"

#include <utility>

#include "broker/http/reply.h"
#include "broker/log.h"

namespace spolia {

SlotWatch::SlotWatch(std::shared_ptr<SlotState> state, std::optional<SlotLease> lease,
                     std::vector<Token> prompt, std::string request_id, SlotFill fill)
    : state_(std::move(state)),
      lease_(std::move(lease)),
      prompt_(std::move(prompt)),
      request_id_(std::move(request_id)),
      fill_(std::move(fill)) {}

void SlotWatch::on_response(int status, std::string_view content_type, HttpHeaders& added) {
    if (status != 200) return;
    const bool events = content_type.starts_with("text/event-stream");
    reader_.emplace(events);
    if (fill_.n_rows > 0) {
        writer_.emplace(fill_.receipt, events);
        added = receipt_headers(fill_.receipt);
        added.emplace_back("x-spolia-receipt", request_id_);
    } else {
        added.emplace_back("x-spolia-policy", "upstream");
        added.emplace_back("x-spolia-fallback", fill_.fallback);
    }
}

void SlotWatch::on_body(std::string_view bytes) {
    if (reader_) reader_->take(bytes);
}

void SlotWatch::on_end(End end) {
    if (end == End::kUpstreamFailed) state_->suspect = true;
    if (end == End::kComplete && reader_) {
        learn(reader_->finish());
        const bool handed = fill_.n_rows > 0;
        const auto n_exact = handed ? fill_.receipt.n_exact : static_cast<int32_t>(prompt_.size());
        if (lease_) lease_->settle(std::move(prompt_), n_exact);
    }
    lease_.reset();
}

void SlotWatch::learn(const UpstreamUsage& usage) {
    if (!usage.timings) return;
    if (fill_.n_rows == 0) {
        state_->speed.observe(usage.timings->prompt_n, usage.timings->prompt_ms);
        return;
    }
    // The last token of a full match is computed for its logits.
    const auto n_used = static_cast<int32_t>(usage.timings->cache_n);
    if (n_used >= fill_.n_rows - 1) {
        state_->counts.add_taken(n_used);
        return;
    }
    state_->counts.add_not_taken();
    log_event(LogLevel::kWarning,
              "llama-server did not use what was put into its slot; something else may have taken "
              "or cleared it meanwhile (requests that go past spolia; --cache-idle-slots)",
              {{"id", request_id_},
               {"slot", int64_t{lease_ ? lease_->slot() : -1}},
               {"put", int64_t{fill_.n_rows}},
               {"used", int64_t{n_used}}});
}

}  // namespace spolia
