#include "adapters/openai/document_order.h"

#include <algorithm>
#include <utility>

namespace spolia {
namespace {

// Of one message; what a set of more documents costs to remember is not worth it.
constexpr size_t kDocumentsMax = 256;

bool may_sort(std::string_view body, ByteRange root) {
    const std::optional<ByteRange> ours = json_member(body, root, "spolia");
    if (!ours) return false;
    const std::optional<ByteRange> documents = json_member(body, *ours, "documents");
    return documents && json_string(body, *documents) == "any_order";
}

bool is_text_part(std::string_view body, ByteRange part) {
    const std::optional<ByteRange> type = json_member(body, part, "type");
    return type && json_string(body, *type) == "text";
}

// The parts that may change places; empty where there are none.
std::vector<ByteRange> documents_of(std::string_view body, ByteRange message) {
    const std::optional<ByteRange> role = json_member(body, message, "role");
    const std::optional<ByteRange> content = json_member(body, message, "content");
    if (!role || !content || json_string(body, *role) != "user") return {};
    std::vector<ByteRange> parts = json_items(body, *content);
    if (parts.size() < 4 || parts.size() > kDocumentsMax + 2) return {};
    parts.pop_back();
    parts.erase(parts.begin());
    const bool all_text = std::all_of(parts.begin(), parts.end(),
                                      [&](ByteRange part) { return is_text_part(body, part); });
    if (!all_text) parts.clear();
    return parts;
}

}  // namespace

DocumentOrder::DocumentOrder(size_t documents_max, size_t sets_max)
    : counts_(documents_max), orders_(sets_max) {}

void DocumentOrder::sort_documents(std::string_view body, ByteRange root,
                                   std::vector<BodyEdit>& edits) {
    const std::optional<ByteRange> messages = json_member(body, root, "messages");
    if (!messages || !may_sort(body, root)) return;
    for (const ByteRange& message : json_items(body, *messages)) {
        sort_message(body, message, edits);
    }
}

void DocumentOrder::sort_message(std::string_view body, ByteRange message,
                                 std::vector<BodyEdit>& edits) {
    const std::vector<ByteRange> parts = documents_of(body, message);
    if (parts.empty()) return;
    std::vector<std::pair<Key128, ByteRange>> documents;
    std::vector<Key128> keys;
    for (const ByteRange& part : parts) {
        keys.push_back(hash_text(sorted_json(body, part)));
        documents.emplace_back(keys.back(), part);
    }
    const std::vector<Key128> order = ordered(std::move(keys));
    for (size_t i = 0; i < parts.size(); ++i) {
        const auto next = std::find_if(documents.begin(), documents.end(),
                                       [&](const auto& entry) { return entry.first == order[i]; });
        const ByteRange part = next->second;
        documents.erase(next);
        if (part != parts[i]) edits.push_back({parts[i], std::string(slice(body, part))});
    }
}

std::vector<Key128> DocumentOrder::ordered(std::vector<Key128> keys) {
    std::sort(keys.begin(), keys.end());
    const Key128 set = hash_bytes(std::as_bytes(std::span(keys)));
    MutexLock lock(mutex_);
    std::vector<Key128>& order = orders_.touch(set);
    if (!order.empty()) return order;
    std::vector<std::pair<int64_t, Key128>> places;
    for (const Key128& key : keys) {
        places.emplace_back(-static_cast<int64_t>(++counts_.touch(key)), key);
    }
    std::sort(places.begin(), places.end());
    for (const auto& [count, key] : places) order.push_back(key);
    return order;
}

}  // namespace spolia
