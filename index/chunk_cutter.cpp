#include "index/chunk_cutter.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "index/boundaries.h"
#include "index/lines.h"
#include "index/separators.h"

namespace spolia {
namespace {

enum class Kind { kParagraphs, kLines, kSentences };

// One way of cutting a text, tried in turn until the pieces fit.
struct Stage {
    Kind kind;
    int32_t window;
};

std::vector<Stage> make_stages(const ChunkerOptions& options) {
    const int32_t tokens_half = std::max(options.tokens_max / 2, 1);
    const int64_t paragraph_window =
        std::min<int64_t>(3 * int64_t{options.tokens_min} / 2, tokens_half);
    std::vector<Stage> stages = {{Kind::kParagraphs, static_cast<int32_t>(paragraph_window)}};
    for (const Kind kind : {Kind::kLines, Kind::kSentences}) {
        int32_t window = options.tokens_max / 4;
        for (; window >= options.tokens_min; window /= 2) stages.push_back({kind, window});
    }
    return stages;
}

class Cutter {
public:
    Cutter(const TokenizedText& prompt, const ChunkerOptions& options)
        : prompt_(prompt), options_(options), stages_(make_stages(options)) {}

    void cut_at_separators(TextRange range) {
        uint32_t at = range.begin;
        for (const TextRange& separator : find_separators(view(range))) {
            cut({at, range.begin + separator.begin}, 0);
            at = range.begin + separator.end;
        }
        cut({at, range.end}, 0);
    }

    std::vector<TokenSpan> take() && { return std::move(chunks_); }

private:
    std::string_view view(TextRange range) const {
        return std::string_view(prompt_.text).substr(range.begin, range.end - range.begin);
    }

    // White space at both ends, then what a tokenizer may merge with the white space at the end.
    TextRange trim(TextRange range) const {
        const std::string_view text = view(range);
        std::string_view kept = trim_spaces(text);
        while (const size_t length = punctuation_before(kept)) kept.remove_suffix(length);
        kept = trim_spaces(kept);
        if (kept.empty()) return {range.begin, range.begin};
        const uint32_t begin = range.begin + static_cast<uint32_t>(kept.data() - text.data());
        return {begin, begin + static_cast<uint32_t>(kept.size())};
    }

    void cut(TextRange range, size_t stage) {
        const TextRange text = trim(range);
        const TokenSpan span = tokens_inside(prompt_, text);
        if (span.size() < options_.tokens_min) return;
        const bool fits = span.size() <= options_.tokens_max;
        if (fits && stage > 0) {
            chunks_.push_back(span);
        } else if (stage == stages_.size()) {
            cut_after_max(span);
        } else {
            uint32_t at = range.begin;
            for (const Boundary& boundary : choose(range, span, stages_[stage])) {
                cut({at, boundary.position}, stage + 1);
                at = boundary.position;
            }
            cut({at, range.end}, stage + 1);
        }
    }

    // Boundaries in `range`, whose trimmed text has the tokens `span`. None leaves a piece at
    // either end that would be too short to be a chunk.
    std::vector<Boundary> choose(TextRange range, TokenSpan span, const Stage& stage) const {
        std::vector<Boundary> found = stage.kind == Kind::kSentences
                                          ? sentence_boundaries(view(range))
                                          : line_boundaries(view(range));
        for (Boundary& boundary : found) {
            boundary.position += range.begin;
            boundary.token = token_at(prompt_, boundary.position);
        }
        std::erase_if(found, [&](const Boundary& boundary) {
            return boundary.token - span.begin < options_.tokens_min ||
                   span.end - boundary.token < options_.tokens_min ||
                   (stage.kind == Kind::kParagraphs && boundary.rank < kBehindTitle);
        });
        return local_maxima(found, stage.window);
    }

    void cut_after_max(TokenSpan span) {
        while (!span.empty()) {
            const int32_t end = span.begin + std::min(span.size(), options_.tokens_max);
            const TokenSpan chunk =
                tokens_inside(prompt_, trim(text_of(prompt_, {span.begin, end})));
            if (chunk.size() >= options_.tokens_min) chunks_.push_back(chunk);
            span.begin = end;
        }
    }

    const TokenizedText& prompt_;
    const ChunkerOptions& options_;
    const std::vector<Stage> stages_;
    std::vector<TokenSpan> chunks_;
};

}  // namespace

std::vector<TokenSpan> cut_chunks(const TokenizedText& prompt, TextRange range,
                                  const ChunkerOptions& options, bool behind_registered) {
    if (behind_registered) {
        const std::string_view text = prompt.text;
        while (range.begin < range.end) {
            const size_t length =
                punctuation_after(text.substr(range.begin, range.end - range.begin));
            if (length == 0) break;
            range.begin += static_cast<uint32_t>(length);
        }
    }
    Cutter cutter(prompt, options);
    cutter.cut_at_separators(range);
    return std::move(cutter).take();
}

}  // namespace spolia
