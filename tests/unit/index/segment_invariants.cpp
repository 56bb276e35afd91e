#include "tests/unit/index/segment_invariants.h"

#include <algorithm>
#include <string_view>

namespace spolia::testing {
namespace {

bool blank(std::string_view line) { return line.find_first_not_of(" \t\r\n") == line.npos; }

// Line by line from the front: the query is what stands behind the last blank line that is followed
// by text, other than a first line.
std::vector<TextSpan> with_queries_split(std::string_view text, std::span<const TextSpan> spans) {
    std::vector<TextSpan> result;
    for (const TextSpan& span : spans) {
        if (span.role != SegmentRole::kQuery) {
            result.push_back(span);
            continue;
        }
        uint32_t query = span.begin;
        for (uint32_t line = span.begin; line < span.end;) {
            const size_t found = text.substr(0, span.end).find('\n', line);
            const uint32_t next = found == text.npos ? span.end : static_cast<uint32_t>(found) + 1;
            const bool ended = found != text.npos;
            if (line > span.begin && ended && blank(text.substr(line, next - line)) &&
                !blank(text.substr(next, span.end - next))) {
                query = next;
            }
            line = next;
        }
        if (query > span.begin) result.push_back({span.begin, query, SegmentRole::kChunk});
        result.push_back({query, span.end, SegmentRole::kQuery});
    }
    return result;
}

class Checker {
public:
    Checker(const TokenizedText& prompt, std::span<const TextSpan> spans, const KeyScope& scope,
            const ChunkerOptions& options, std::span<const std::vector<Token>> registered)
        : prompt_(prompt),
          spans_(with_queries_split(prompt.text, spans)),
          scope_(scope),
          options_(options),
          registered_(registered) {}

    std::string check(std::span<const Segment> segments) const {
        int32_t at = 0;
        for (const Segment& segment : segments) {
            if (segment.span.begin != at || segment.span.empty()) return fail("gap", at);
            at = segment.span.end;
        }
        if (at != static_cast<int32_t>(prompt_.tokens.size())) return fail("no tile", at);
        for (const Segment& segment : segments) {
            std::string broken = check_segment(segment);
            if (!broken.empty()) return broken;
        }
        return {};
    }

private:
    std::string fail(std::string_view what, int32_t token) const {
        return std::string(what) + " at token " + std::to_string(token);
    }

    bool has_text(int32_t token) const {
        return prompt_.byte_begin[token + 1] > prompt_.byte_begin[token];
    }

    // The span that holds all bytes of the token; null for straddling ones and those without text.
    const TextSpan* home(int32_t token) const {
        for (const TextSpan& span : spans_) {
            if (has_text(token) && prompt_.byte_begin[token] >= span.begin &&
                prompt_.byte_begin[token + 1] <= span.end) {
                return &span;
            }
        }
        return nullptr;
    }

    bool touches_query(int32_t token) const {
        return std::ranges::any_of(spans_, [&](const TextSpan& span) {
            return span.role == SegmentRole::kQuery && has_text(token) && span.begin < span.end &&
                   prompt_.byte_begin[token] < span.end &&
                   prompt_.byte_begin[token + 1] > span.begin;
        });
    }

    bool is_registered(TokenSpan span) const {
        const std::span<const Token> tokens =
            std::span(prompt_.tokens).subspan(span.begin, span.size());
        return std::ranges::any_of(registered_, [&](const std::vector<Token>& chunk) {
            return std::ranges::equal(tokens, chunk);
        });
    }

    std::string check_segment(const Segment& segment) const {
        const bool chunk = segment.role == SegmentRole::kChunk;
        if (!chunk && segment.key != Key128{}) return fail("key without chunk", segment.span.begin);
        for (int32_t token = segment.span.begin; token < segment.span.end; ++token) {
            const TextSpan* span = home(token);
            if (chunk && touches_query(token)) return fail("query in a chunk", token);
            if (span != nullptr && !chunk && span->role != SegmentRole::kChunk &&
                span->role != segment.role) {
                return fail("role lost", token);
            }
            const bool named =
                segment.role == SegmentRole::kFixed || segment.role == SegmentRole::kQuery;
            if (named && has_text(token) && (span == nullptr || span->role != segment.role)) {
                return fail("straddling token in fixed or query", token);
            }
        }
        return chunk ? check_chunk(segment) : std::string();
    }

    std::string check_chunk(const Segment& segment) const {
        const auto [begin, end] = segment.span;
        const std::span<const Token> tokens =
            std::span(prompt_.tokens).subspan(begin, segment.span.size());
        if (segment.key != chunk_key(scope_, tokens)) return fail("wrong key", begin);
        if (segment.span.size() < options_.tokens_min) return fail("short chunk", begin);
        if (is_registered(segment.span)) return {};
        if (segment.span.size() > options_.tokens_max) return fail("long chunk", begin);
        const TextSpan* span = home(begin);
        if (span == nullptr || span->role != SegmentRole::kChunk)
            return fail("chunk astray", begin);
        if (home(end - 1) != span) return fail("straddling token in a chunk", end - 1);
        return {};
    }

    const TokenizedText& prompt_;
    const std::vector<TextSpan> spans_;
    const KeyScope& scope_;
    const ChunkerOptions& options_;
    const std::span<const std::vector<Token>> registered_;
};

}  // namespace

std::string broken_promise(const TokenizedText& prompt, std::span<const TextSpan> spans,
                           const KeyScope& scope, const ChunkerOptions& options,
                           std::span<const std::vector<Token>> registered,
                           std::span<const Segment> segments) {
    return Checker(prompt, spans, scope, options, registered).check(segments);
}

}  // namespace spolia::testing
