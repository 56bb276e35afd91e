#include "adapters/openai/body_edits.h"

#include <algorithm>
#include <utility>

namespace spolia {
namespace {

// What a tool is sorted by: its function's name, then all of it.
std::pair<std::string, std::string> tool_place(std::string_view body, ByteRange tool) {
    const std::optional<ByteRange> function = json_member(body, tool, "function");
    const std::optional<ByteRange> name = json_member(body, function.value_or(tool), "name");
    return {name ? json_string(body, *name) : "", sorted_json(body, tool)};
}

std::optional<std::string> text_of_part(std::string_view body, ByteRange part) {
    const std::optional<ByteRange> text = json_member(body, part, "text");
    if (!text) return std::nullopt;
    return json_string(body, *text);
}

}  // namespace

std::string apply_edits(std::string_view body, std::vector<BodyEdit> edits) {
    std::stable_sort(edits.begin(), edits.end(), [](const BodyEdit& a, const BodyEdit& b) {
        return std::pair(a.range.begin, a.range.end) < std::pair(b.range.begin, b.range.end);
    });
    std::string out;
    size_t at = 0;
    for (const BodyEdit& edit : edits) {
        out += body.substr(at, edit.range.begin - at);
        out += edit.text;
        at = edit.range.end;
    }
    out += body.substr(at);
    return out;
}

void remove_member(std::string_view body, ByteRange root, std::string_view name,
                   std::vector<BodyEdit>& edits) {
    const std::vector<JsonMember> members = json_members(body, root);
    bool kept_before = false;
    for (size_t i = 0; i < members.size(); ++i) {
        if (json_string(body, members[i].key) != name) {
            kept_before = true;
        } else if (kept_before) {
            edits.push_back({{members[i - 1].value.end, members[i].value.end}, ""});
        } else {
            const bool last = i + 1 == members.size();
            const size_t end = last ? members[i].value.end : members[i + 1].key.begin;
            edits.push_back({{members[i].key.begin, end}, ""});
        }
    }
}

void set_member(std::string_view body, ByteRange root, std::string_view name, std::string_view text,
                bool kept, std::vector<BodyEdit>& edits) {
    bool found = false;
    for (const JsonMember& member : json_members(body, root)) {
        if (json_string(body, member.key) != name) continue;
        edits.push_back({member.value, quoted_json(text)});
        found = true;
    }
    if (found) return;
    std::string member = quoted_json(name) + ":" + quoted_json(text);
    if (kept) member += ',';
    edits.push_back({{root.begin + 1, root.begin + 1}, std::move(member)});
}

void sort_tools(std::string_view body, ByteRange root, std::vector<BodyEdit>& edits) {
    const std::optional<ByteRange> tools = json_member(body, root, "tools");
    if (!tools || json_kind(body, *tools) != '[') return;
    std::vector<std::pair<std::string, std::string>> places;
    for (const ByteRange& tool : json_items(body, *tools)) {
        places.push_back(tool_place(body, tool));
    }
    std::sort(places.begin(), places.end());
    std::string sorted = "[";
    for (const auto& [name, json] : places) {
        if (sorted.size() > 1) sorted += ',';
        sorted += json;
    }
    sorted += ']';
    if (sorted != slice(body, *tools)) edits.push_back({*tools, std::move(sorted)});
}

void insert_separators(std::string_view body, ByteRange root, std::string_view separator,
                       std::vector<BodyEdit>& edits) {
    const std::optional<ByteRange> messages = json_member(body, root, "messages");
    if (!messages) return;
    const std::string part = ",{\"type\":\"text\",\"text\":" + quoted_json(separator) + "}";
    for (const ByteRange& message : json_items(body, *messages)) {
        const std::optional<ByteRange> content = json_member(body, message, "content");
        if (!content) continue;
        const std::vector<ByteRange> parts = json_items(body, *content);
        for (size_t i = 0; i + 1 < parts.size(); ++i) {
            if (text_of_part(body, parts[i]) == separator ||
                text_of_part(body, parts[i + 1]) == separator) {
                continue;
            }
            edits.push_back({{parts[i].end, parts[i].end}, part});
        }
    }
}

}  // namespace spolia
