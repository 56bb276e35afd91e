#include "broker/proxy/slot_watch.h"

#include <utility>

#include "broker/http/reply.h"
#include "broker/log.h"

namespace spolia {

namespace {

void add_fallback_headers(const std::string& fallback, HttpHeaders& added) {
    added.emplace_back("x-spolia-policy", "upstream");
    added.emplace_back("x-spolia-fallback", fallback);
}

}  // namespace

void SlotState::set_keep(Keep keep) {
    const MutexLock lock(mutex_);
    keep_ = std::move(keep);
}

bool SlotState::offer(SlotLease& lease, std::vector<Token>& prompt) {
    const MutexLock lock(mutex_);
    if (!keep_ || table.n_waiting() > 0) return false;
    keep_(std::move(lease), std::move(prompt));
    return true;
}

void ChoiceWatch::on_response(int status, std::string_view /*content_type*/, HttpHeaders& added) {
    if (status == 200) add_fallback_headers(fallback_, added);
}

void ChoiceWatch::on_end(End end) {
    if (end == End::kUpstreamFailed) state_->suspect = true;
    choice_.reset();
}

SlotWatch::SlotWatch(std::shared_ptr<SlotState> state, SlotLease lease, std::vector<Token> prompt,
                     std::string request_id, SlotFill fill)
    : state_(std::move(state)),
      lease_(std::move(lease)),
      prompt_(std::move(prompt)),
      request_id_(std::move(request_id)),
      fill_(std::move(fill)) {
    lease_->touch();
    // However it ends, the slot may hold the prompt by then.
    if (!prompt_.empty()) {
        lease_->settle(prompt_, fill_.n_rows > 0 ? fill_.receipt.n_exact : 0);
    }
}

void SlotWatch::on_response(int status, std::string_view content_type, HttpHeaders& added) {
    if (status != 200) return;
    const bool events = content_type.starts_with("text/event-stream");
    reader_.emplace(events);
    if (fill_.n_rows > 0) {
        writer_.emplace(fill_.receipt, events);
        added = receipt_headers(fill_.receipt);
        added.emplace_back("x-spolia-receipt", request_id_);
    } else {
        add_fallback_headers(fill_.fallback, added);
    }
}

void SlotWatch::on_body(std::string_view bytes) {
    if (reader_) reader_->take(bytes);
}

void SlotWatch::on_end(End end) {
    if (end == End::kUpstreamFailed) state_->suspect = true;
    if (end == End::kComplete && reader_) {
        const UpstreamUsage usage = reader_->finish();
        learn(usage);
        settle(usage.timings ? usage.timings->prompt_n : 0);
    }
    lease_.reset();
}

void SlotWatch::settle(int64_t n_computed) {
    if (fill_.n_rows > 0) return;
    if (prompt_.empty()) return lease_->settle_unseen();
    if (n_computed >= SlotKeeper::kComputedMin && state_->offer(*lease_, prompt_)) return;
    const auto n_exact = static_cast<int32_t>(prompt_.size());
    lease_->settle(std::move(prompt_), n_exact);
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
              "or cleared it meanwhile (requests that go past spolia, say)",
              {{"id", request_id_},
               {"slot", int64_t{lease_->slot()}},
               {"put", int64_t{fill_.n_rows}},
               {"used", int64_t{n_used}}});
}

}  // namespace spolia
