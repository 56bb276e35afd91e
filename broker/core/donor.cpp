#include "broker/core/donor.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "index/token_alignment.h"

namespace spolia {
namespace {

// Follows what becomes of the donor's text, run by run.
class ContextOfRuns {
public:
    ContextOfRuns(size_t part, TokenSpan chunk, const DonorText& text)
        : chunk_(chunk), text_(text), in_front_(text.tokens.size(), false) {
        known_.parts = {static_cast<int32_t>(part)};
    }

    // Of the next run of the prompt.
    std::shared_ptr<const KnownContext> before(const TokenRun& run) {
        note_edit(run);
        known_.lost = lost_words(run.theirs);
        auto known = std::make_shared<const KnownContext>(known_);
        std::fill_n(in_front_.begin() + run.theirs, run.n, true);
        ours_end_ = run.ours + run.n;
        theirs_end_ = run.theirs + run.n;
        return known;
    }

private:
    // What stands between this run and the one in front is new here, or something that stood
    // there is gone: then the first row knows too much.
    void note_edit(const TokenRun& run) {
        if (run.ours == ours_end_ && run.theirs == theirs_end_) return;
        const int32_t end = std::max(run.ours, ours_end_ + 1);
        known_.edited.push_back({chunk_.begin + ours_end_, chunk_.begin + end});
    }

    // The words of all sentences that a row in front of which the donor has `n_attended` tokens has
    // attended to and that do not stand whole in front of it here.
    std::vector<uint64_t> lost_words(int32_t n_attended) const {
        std::vector<uint64_t> words;
        for (const Sentence& sentence : text_.outline.sentences) {
            if (sentence.rows.begin >= n_attended) break;
            const auto from = in_front_.begin();
            if (std::all_of(from + sentence.rows.begin,
                            from + std::min(sentence.rows.end, n_attended), std::identity())) {
                continue;
            }
            const std::span<const uint64_t> own = text_.outline.words_of(sentence);
            words.insert(words.end(), own.begin(), own.end());
        }
        std::ranges::sort(words);
        words.erase(std::ranges::unique(words).begin(), words.end());
        return words;
    }

    const TokenSpan chunk_;
    const DonorText& text_;
    std::vector<bool> in_front_;  // of the donor's tokens: whether the prompt had them up to here
    int32_t ours_end_ = 0, theirs_end_ = 0;  // of the run in front
    KnownContext known_;
};

}  // namespace

std::shared_ptr<const DonorText> make_donor_text(const TextModel& model, const Key128& key,
                                                 std::span<const Token> tokens) {
    TokenizedText text;
    text.tokens.assign(tokens.begin(), tokens.end());
    for (const Token token : tokens) {
        text.byte_begin.push_back(static_cast<uint32_t>(text.text.size()));
        text.text += model.piece(token);
    }
    text.byte_begin.push_back(static_cast<uint32_t>(text.text.size()));
    const Segment whole{SegmentRole::kChunk, {0, static_cast<int32_t>(tokens.size())}, key};
    auto donor = std::make_shared<DonorText>();
    donor->key = key;
    donor->outline = outline_prompt(text, {&whole, 1});
    donor->tokens = std::move(text.tokens);
    return donor;
}

int32_t Donor::n_rows() const {
    return std::accumulate(runs.begin(), runs.end(), 0,
                           [](int32_t n, const DonorRun& run) { return n + run.rows.size(); });
}

std::optional<Donor> make_donor(size_t part, TokenSpan chunk, std::span<const Token> prompt,
                                std::shared_ptr<const DonorText> text) {
    Donor donor{.part = part, .text = std::move(text), .runs = {}};
    ContextOfRuns context(part, chunk, *donor.text);
    const auto ours = prompt.subspan(chunk.begin, chunk.size());
    for (const TokenRun& run : align_tokens(ours, donor.text->tokens, kDonorRunMin)) {
        const int32_t row = chunk.begin + run.ours;
        donor.runs.push_back({{row, row + run.n}, run.theirs, context.before(run)});
    }
    if (2 * donor.n_rows() < chunk.size()) return std::nullopt;
    return donor;
}

}  // namespace spolia
