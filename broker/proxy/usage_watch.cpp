#include "broker/proxy/usage_watch.h"

namespace spolia {

void UsageWatch::on_upstream(const Upstream& upstream) {
    index_ = group_.find(upstream.name());
    if (!index_) return;
    group_.note_sent(*index_);
    router_.remember(chain_, upstream.name());
}

void UsageWatch::on_response(int status, std::string_view content_type, HttpHeaders&) {
    if (status == 200) reader_.emplace(content_type.starts_with("text/event-stream"));
}

void UsageWatch::on_body(std::string_view bytes) {
    if (reader_) reader_->take(bytes);
}

void UsageWatch::on_end(End) {
    if (index_ && reader_) group_.note_usage(*index_, reader_->finish());
}

}  // namespace spolia
