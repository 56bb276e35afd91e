#include "index/chunker.h"

#include <algorithm>
#include <string_view>

#include "index/chunk_cutter.h"
#include "index/span_map.h"

namespace spolia {
namespace {

// Registered chunks in `tokens` outside the `barred` spans: from the left, each time the longest.
std::vector<TokenSpan> find_registered(std::span<const Token> tokens,
                                       std::span<const TokenSpan> barred,
                                       const RegisteredChunks& registered, int32_t tokens_min) {
    std::vector<TokenSpan> found;
    int32_t at = 0;
    const auto scan_to = [&](int32_t end) {
        while (at < end) {
            const int32_t length = registered.match(tokens.subspan(at, end - at));
            if (length >= tokens_min) found.push_back({at, at + length});
            at += length >= tokens_min ? length : 1;
        }
    };
    for (const TokenSpan& bar : barred) {
        scan_to(bar.begin);
        at = std::max(at, bar.end);
    }
    scan_to(static_cast<int32_t>(tokens.size()));
    return found;
}

// The parts of `span` that are in none of the ascending `taken` spans.
std::vector<TokenSpan> subtract(TokenSpan span, std::span<const TokenSpan> taken) {
    std::vector<TokenSpan> rest;
    for (const TokenSpan& gone : taken) {
        if (gone.end <= span.begin) continue;
        if (gone.begin >= span.end) break;
        if (span.begin < gone.begin) rest.push_back({span.begin, gone.begin});
        span.begin = gone.end;
    }
    if (!span.empty()) rest.push_back(span);
    return rest;
}

// Fills the gaps between ascending segments with glue.
std::vector<Segment> tile(std::span<const Segment> segments, int32_t n_tokens) {
    std::vector<Segment> tiled;
    int32_t at = 0;
    const auto fill_to = [&](int32_t end) {
        if (at < end) tiled.push_back({SegmentRole::kGlue, {at, end}, {}});
    };
    for (const Segment& segment : segments) {
        fill_to(segment.span.begin);
        tiled.push_back(segment);
        at = segment.span.end;
    }
    fill_to(n_tokens);
    return tiled;
}

class Segmenter {
public:
    Segmenter(const TokenizedText& prompt, const KeyScope& scope, const ChunkerOptions& options)
        : prompt_(prompt), scope_(scope), options_(options) {}

    std::vector<Segment> segment(std::span<const TextSpan> spans,
                                 const RegisteredChunks* registered) {
        if (registered != nullptr) {
            registered_ = find_registered(prompt_.tokens, query_spans(spans), *registered,
                                          options_.tokens_min);
        }
        for (const TokenSpan& span : registered_) add(SegmentRole::kChunk, span);
        for (const TextSpan& span : spans) add_span(span);
        std::ranges::sort(segments_, {}, [](const Segment& segment) { return segment.span.begin; });
        return tile(segments_, static_cast<int32_t>(prompt_.tokens.size()));
    }

private:
    // Tokens that must be computed whatever is registered.
    std::vector<TokenSpan> query_spans(std::span<const TextSpan> spans) const {
        std::vector<TokenSpan> barred;
        for (const TextSpan& span : spans) {
            if (span.role != SegmentRole::kQuery) continue;
            barred.push_back(tokens_touching(prompt_, {span.begin, span.end}));
        }
        return barred;
    }

    void add_span(const TextSpan& span) {
        if (span.role == SegmentRole::kGlue) return;
        for (const TokenSpan& rest :
             subtract(tokens_inside(prompt_, {span.begin, span.end}), registered_)) {
            if (span.role == SegmentRole::kChunk) {
                add_chunks(rest);
            } else {
                add(span.role, rest);
            }
        }
    }

    void add_chunks(TokenSpan span) {
        const bool behind_registered = std::ranges::any_of(
            registered_, [&](const TokenSpan& before) { return before.end == span.begin; });
        for (const TokenSpan& chunk :
             cut_chunks(prompt_, text_of(prompt_, span), options_, behind_registered)) {
            add(SegmentRole::kChunk, chunk);
        }
    }

    void add(SegmentRole role, TokenSpan span) {
        Segment& segment = segments_.emplace_back(Segment{role, span, {}});
        if (role != SegmentRole::kChunk) return;
        segment.key = chunk_key(scope_, std::span(prompt_.tokens).subspan(span.begin, span.size()));
    }

    const TokenizedText& prompt_;
    const KeyScope& scope_;
    const ChunkerOptions options_;
    std::vector<TokenSpan> registered_;
    std::vector<Segment> segments_;
};

// Where the last paragraph of `text` begins: behind its last blank line that has text after it. 0
// when it is one paragraph.
size_t last_paragraph(std::string_view text) {
    const size_t end = text.find_last_not_of(" \t\r\n");
    if (end == text.npos) return 0;
    size_t line = text.rfind('\n', end);
    while (line != text.npos && line > 0) {
        const size_t before = text.rfind('\n', line - 1);
        const size_t begin = before == text.npos ? 0 : before + 1;
        const std::string_view above = text.substr(begin, line - begin);
        if (before != text.npos && above.find_first_not_of(" \t\r") == above.npos) return line + 1;
        line = before;
    }
    return 0;
}

// The spans, with documents that share a message with the question told apart from it.
std::vector<TextSpan> split_queries(std::string_view text, std::span<const TextSpan> spans) {
    std::vector<TextSpan> split;
    for (const TextSpan& span : spans) {
        if (span.role == SegmentRole::kQuery && span.begin <= span.end && span.end <= text.size()) {
            const auto documents = static_cast<uint32_t>(
                last_paragraph(text.substr(span.begin, span.end - span.begin)));
            if (documents > 0)
                split.push_back({span.begin, span.begin + documents, SegmentRole::kChunk});
            split.push_back({span.begin + documents, span.end, SegmentRole::kQuery});
        } else {
            split.push_back(span);
        }
    }
    return split;
}

ChunkerOptions sane(ChunkerOptions options) {
    options.tokens_min = std::max(options.tokens_min, 1);
    options.tokens_max = std::max(options.tokens_max, options.tokens_min);
    return options;
}

}  // namespace

std::vector<Segment> segment_prompt(const TokenizedText& prompt, std::span<const TextSpan> spans,
                                    const KeyScope& scope, const ChunkerOptions& options,
                                    const RegisteredChunks* registered) {
    if (prompt.tokens.empty()) return {};
    if (!has_usable_offsets(prompt)) {
        return {{SegmentRole::kQuery, {0, static_cast<int32_t>(prompt.tokens.size())}, {}}};
    }
    return Segmenter(prompt, scope, sane(options))
        .segment(split_queries(prompt.text, spans), registered);
}

}  // namespace spolia
