#include "adapters/openai/prefix_lint.h"

#include <algorithm>
#include <cctype>
#include <unordered_map>

#include "adapters/openai/text_marks.h"
#include "index/fingerprint.h"

namespace spolia {
namespace {

using Kind = PromptPiece::Kind;
using Piece = LintPrompt::Piece;

constexpr size_t kExcerptBytes = 32;

bool same(const Piece& a, const Piece& b) {
    return a.kind == b.kind && a.path == b.path && a.text == b.text;
}

bool inside_character(std::string_view text, size_t at) {
    return at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80;
}

// Whole characters only.
size_t common_front(std::string_view a, std::string_view b) {
    const auto ends = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    auto n = static_cast<size_t>(ends.first - a.begin());
    while (n > 0 && (inside_character(a, n) || inside_character(b, n))) --n;
    return n;
}

size_t common_back(std::string_view a, std::string_view b) {
    const auto ends = std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend());
    return static_cast<size_t>(ends.first - a.rbegin());
}

std::string excerpt(std::string_view text, size_t at) {
    size_t begin = at > kExcerptBytes / 2 ? at - kExcerptBytes / 2 : 0;
    size_t end = std::min(text.size(), at + kExcerptBytes / 2);
    while (inside_character(text, begin)) ++begin;
    while (inside_character(text, end)) ++end;
    return std::string(text.substr(begin, end - begin));
}

std::string without_space(std::string_view text) {
    std::string out;
    std::copy_if(text.begin(), text.end(), std::back_inserter(out),
                 [](char c) { return std::isspace(static_cast<unsigned char>(c)) == 0; });
    return out;
}

std::string with_sorted_keys(std::string_view text) {
    const Result<ByteRange> root = json_document(text);
    return root.ok() ? sorted_json(text, *root) : std::string(text);
}

// The texts of a kind from the piece `from` on, in the same message where there is one.
std::vector<std::string> texts_like(const LintPrompt& prompt, size_t from, bool sorted_keys) {
    const Piece& first = prompt.pieces[from];
    const std::string_view parent = std::string_view(first.path).substr(0, first.path.rfind('['));
    std::vector<std::string> texts;
    for (size_t i = from; i < prompt.pieces.size(); ++i) {
        const Piece& piece = prompt.pieces[i];
        if (piece.kind != first.kind || !piece.path.starts_with(parent)) break;
        texts.push_back(sorted_keys ? with_sorted_keys(piece.text) : piece.text);
    }
    std::sort(texts.begin(), texts.end());
    return texts;
}

std::vector<std::string_view> paragraphs(std::string_view text) {
    std::vector<std::string_view> parts;
    for (size_t at = 0; at <= text.size();) {
        const size_t end = std::min(text.find("\n\n", at), text.size());
        if (end > at) parts.push_back(text.substr(at, end - at));
        at = end + 2;
    }
    std::sort(parts.begin(), parts.end());
    return parts;
}

// Parts of one content, or paragraphs of one text, in another order. A question at the end may
// differ: two documents that both prompts have, at least, tell it.
bool documents_moved(const LintPrompt& before, const LintPrompt& prompt, size_t at) {
    const auto shared_of = [](const auto& a, const auto& b) {
        std::remove_cvref_t<decltype(a)> both;
        std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
        return both.size();
    };
    const std::string_view was = before.pieces[at].text, is = prompt.pieces[at].text;
    if (prompt.pieces[at].path.find(".content[") != std::string::npos) {
        return shared_of(texts_like(before, at, false), texts_like(prompt, at, false)) >= 2;
    }
    const size_t front = common_front(was, is);
    const size_t paragraph = was.rfind("\n\n", front) == was.npos ? 0 : was.rfind("\n\n", front);
    return shared_of(paragraphs(was.substr(paragraph)), paragraphs(is.substr(paragraph))) >= 2;
}

PrefixBreak kind_of_tools(const LintPrompt& before, const LintPrompt& prompt, size_t at) {
    if (with_sorted_keys(before.pieces[at].text) == with_sorted_keys(prompt.pieces[at].text)) {
        return PrefixBreak::kKeyOrder;
    }
    const bool same_tools = texts_like(before, at, true) == texts_like(prompt, at, true);
    return same_tools ? PrefixBreak::kToolOrder : PrefixBreak::kTools;
}

// Random identifiers hold digits in the form of times, so what they are is asked first.
PrefixBreak kind_of_text(const LintPrompt& before, const LintPrompt& prompt, size_t at,
                         size_t offset) {
    const std::string_view was = before.pieces[at].text, is = prompt.pieces[at].text;
    if (without_space(was) == without_space(is)) return PrefixBreak::kWhiteSpace;
    if (with_sorted_keys(was) == with_sorted_keys(is)) return PrefixBreak::kKeyOrder;
    if (documents_moved(before, prompt, at)) return PrefixBreak::kDocumentOrder;
    const bool stamp = timestamp_at(was, offset) && timestamp_at(is, offset);
    const bool id = random_id_at(was, offset) && random_id_at(is, offset);
    if (stamp) return PrefixBreak::kTimestamp;
    return id ? PrefixBreak::kRandomId : PrefixBreak::kNewText;
}

PrefixBreak kind_of(const LintPrompt& before, const LintPrompt& prompt, size_t at, size_t offset) {
    const Piece &was = before.pieces[at], &is = prompt.pieces[at];
    if (is.kind == Kind::kModel || was.kind == Kind::kModel) return PrefixBreak::kModel;
    if (is.kind == Kind::kTool && was.kind == Kind::kTool) return kind_of_tools(before, prompt, at);
    if (is.kind == Kind::kTool || was.kind == Kind::kTool) return PrefixBreak::kTools;
    if (is.kind != was.kind || is.path != was.path) return PrefixBreak::kNewText;
    return kind_of_text(before, prompt, at, offset);
}

// Bytes of the pieces from `at` on that the other prompt has from there on, too.
size_t bytes_in_both(const LintPrompt& before, const LintPrompt& prompt, size_t at) {
    std::unordered_map<Key128, size_t, Key128Hash> counts;
    for (size_t i = at; i < before.pieces.size(); ++i) ++counts[hash_text(before.pieces[i].text)];
    size_t bytes = 0;
    for (size_t i = at; i < prompt.pieces.size(); ++i) {
        const auto found = counts.find(hash_text(prompt.pieces[i].text));
        if (found == counts.end() || found->second == 0) continue;
        --found->second;
        bytes += prompt.pieces[i].text.size();
    }
    return bytes;
}

size_t equal_pieces(const LintPrompt& before, const LintPrompt& prompt) {
    const auto ends = std::mismatch(before.pieces.begin(), before.pieces.end(),
                                    prompt.pieces.begin(), prompt.pieces.end(), same);
    return static_cast<size_t>(ends.first - before.pieces.begin());
}

size_t bytes_of(const LintPrompt& prompt, size_t n_pieces) {
    size_t bytes = 0;
    for (size_t i = 0; i < n_pieces; ++i) bytes += prompt.pieces[i].text.size();
    return bytes;
}

bool comparable(const Piece& a, const Piece& b) { return a.kind == b.kind && a.path == b.path; }

}  // namespace

std::string_view to_string(PrefixBreak kind) {
    switch (kind) {
        case PrefixBreak::kNone: return "none";
        case PrefixBreak::kModel: return "model";
        case PrefixBreak::kToolOrder: return "tool_order";
        case PrefixBreak::kKeyOrder: return "key_order";
        case PrefixBreak::kTools: return "tools";
        case PrefixBreak::kWhiteSpace: return "white_space";
        case PrefixBreak::kDocumentOrder: return "document_order";
        case PrefixBreak::kTimestamp: return "timestamp";
        case PrefixBreak::kRandomId: return "random_id";
        case PrefixBreak::kNewText: return "new_text";
    }
    return "";
}

std::string_view advice(PrefixBreak kind) {
    switch (kind) {
        case PrefixBreak::kNone:
        case PrefixBreak::kNewText: return "";
        case PrefixBreak::kModel:
            return "models share no cache: send one conversation to one model";
        case PrefixBreak::kToolOrder:
            return "list tools in one order, or serve with --upstream-stable-tools";
        case PrefixBreak::kKeyOrder:
            return "write JSON with sorted keys; for tools, serve with --upstream-stable-tools";
        case PrefixBreak::kTools:
            return "keep one list of tools for all requests: servers render it in front";
        case PrefixBreak::kWhiteSpace: return "make white space the same whenever a text is built";
        case PrefixBreak::kDocumentOrder:
            return "keep documents in one order, or allow \"spolia\": {\"documents\": "
                   "\"any_order\"} and serve with --upstream-document-order";
        case PrefixBreak::kTimestamp:
            return "move the time behind what stays the same, or round it to what is needed";
        case PrefixBreak::kRandomId: return "move the identifier behind what stays the same";
    }
    return "";
}

Result<LintPrompt> LintPrompt::read(std::string_view body) {
    const Result<ByteRange> root = json_document(body);
    if (!root.ok()) return root.error();
    LintPrompt prompt;
    for (const PromptPiece& piece : prompt_pieces(body, *root)) {
        prompt.pieces.push_back({piece.kind, piece_path(piece), ""});
        append_piece_text(body, piece, prompt.pieces.back().text);
        prompt.bytes += prompt.pieces.back().text.size();
    }
    return prompt;
}

size_t shared_prompt_bytes(const LintPrompt& before, const LintPrompt& prompt) {
    const size_t at = equal_pieces(before, prompt);
    const size_t bytes = bytes_of(prompt, at);
    if (at == before.pieces.size() || at == prompt.pieces.size()) return bytes;
    if (!comparable(before.pieces[at], prompt.pieces[at])) return bytes;
    return bytes + common_front(before.pieces[at].text, prompt.pieces[at].text);
}

PrefixLint lint_prefix(const LintPrompt& before, const LintPrompt& prompt) {
    PrefixLint lint;
    lint.shared_bytes = shared_prompt_bytes(before, prompt);
    const size_t at = equal_pieces(before, prompt);
    if (at == before.pieces.size() || at == prompt.pieces.size()) return lint;

    const Piece &was = before.pieces[at], &is = prompt.pieces[at];
    lint.path = is.path;
    lint.offset = lint.shared_bytes - bytes_of(prompt, at);
    lint.was = excerpt(was.text, lint.offset);
    lint.is = excerpt(is.text, lint.offset);
    lint.kind = kind_of(before, prompt, at, lint.offset);
    lint.lost_bytes = bytes_in_both(before, prompt, at);
    if (comparable(was, is) && was.text != is.text) {
        const std::string_view was_rest = std::string_view(was.text).substr(lint.offset);
        const std::string_view is_rest = std::string_view(is.text).substr(lint.offset);
        lint.lost_bytes += common_back(was_rest, is_rest);
    }
    return lint;
}

}  // namespace spolia
