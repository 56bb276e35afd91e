#include "broker/proxy/receipt_writer.h"

#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "adapters/openai/body_edits.h"
#include "adapters/openai/json_ranges.h"
#include "broker/wire/receipt.h"

namespace spolia {
namespace {

constexpr std::string_view kData = "data: ";

std::optional<ByteRange> member_below(std::string_view json, ByteRange root,
                                      std::initializer_list<std::string_view> path) {
    std::optional<ByteRange> at = root;
    for (const std::string_view name : path) {
        if (at) at = json_member(json, *at, name);
    }
    return at;
}

}  // namespace

ReceiptWriter::ReceiptWriter(const Receipt& receipt, bool events)
    : receipt_(dump(receipt_json(receipt))), n_exact_(receipt.n_exact), events_(events) {}

std::string_view ReceiptWriter::pass(std::string_view bytes, bool last) {
    out_.clear();
    if (events_) {
        pass_events(bytes, last);
        return out_;
    }
    if (!too_long_ && held_.size() + bytes.size() > kHeldBytesMax) {
        too_long_ = true;
        out_ = std::exchange(held_, {});
    }
    if (too_long_) return out_.append(bytes);
    held_ += bytes;
    if (last) append_changed(std::exchange(held_, {}));
    return out_;
}

void ReceiptWriter::pass_events(std::string_view bytes, bool last) {
    for (;;) {
        const size_t end = bytes.find('\n');
        if (end == bytes.npos) break;
        const std::string_view line = bytes.substr(0, end + 1);
        bytes.remove_prefix(end + 1);
        if (too_long_) {
            out_ += line;
            too_long_ = false;
        } else if (held_.empty()) {
            pass_line(line);
        } else {
            held_ += line;
            pass_line(std::exchange(held_, {}));
        }
    }
    held_ += bytes;
    if (too_long_ || last || held_.size() > kHeldBytesMax) {
        too_long_ = !held_.empty() || too_long_;
        out_ += std::exchange(held_, {});
    }
}

void ReceiptWriter::pass_line(std::string_view line) {
    const bool counts = line.starts_with(kData) && (line.find("\"timings\"") != line.npos ||
                                                    line.find("\"usage\"") != line.npos);
    if (!counts) {
        out_ += line;
        return;
    }
    const std::string_view end = line.ends_with("\r\n") ? "\r\n" : "\n";
    out_ += kData;
    line.remove_prefix(kData.size());
    line.remove_suffix(end.size());
    append_changed(line);
    out_ += end;
}

void ReceiptWriter::append_changed(std::string_view json) {
    const Result<ByteRange> root = json_document(json);
    if (!root || json_kind(json, *root) != '{') {
        out_ += json;
        return;
    }
    std::vector<BodyEdit> edits;
    if (const auto cached =
            member_below(json, *root, {"usage", "prompt_tokens_details", "cached_tokens"})) {
        edits.push_back({*cached, std::to_string(n_exact_)});
    }
    if (json_member(json, *root, "timings")) {
        edits.push_back({{root->end - 1, root->end - 1}, ",\"spolia\":" + receipt_});
    }
    out_ += apply_edits(json, std::move(edits));
}

}  // namespace spolia
