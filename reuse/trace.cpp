#include "reuse/trace.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace spolia {
namespace {

constexpr int kHopsMax = 4;
constexpr float kHopKeeps = 0.9f;  // of a path's weight
// Words and paths below it lead nowhere.
constexpr float kWeightMin = 0.3f;
// What a sentence that leans on no other chunk needs. A model may still hold in it where in the
// whole text it stands.
constexpr float kNeedAlone = 0.4f;
// A back reference in one of a chunk's first sentences, be it behind a title, may mean something in
// front of the chunk.
constexpr int32_t kOpeningSentences = 2;

// Where a word stands.
struct Mention {
    uint64_t stem = 0;
    int32_t sentence = 0;
};

class Tracer {
public:
    Tracer(const PromptOutline& outline, std::span<const PassiveSpan> spans)
        : outline_(outline),
          spans_(spans),
          path_(outline.sentences.size(), 0),
          need_(outline.sentences.size(), 0) {
        index_words();
    }

    std::vector<TracedRun> run() {
        seed();
        for (int hop = 0; hop < kHopsMax && spread(); ++hop) {}
        return find_runs();
    }

private:
    int32_t n_sentences() const { return static_cast<int32_t>(outline_.sentences.size()); }
    const Sentence& sentence(int32_t i) const { return outline_.sentences[static_cast<size_t>(i)]; }
    float& path(int32_t i) { return path_[static_cast<size_t>(i)]; }
    float& need(int32_t i) { return need_[static_cast<size_t>(i)]; }

    void index_words() {
        for (int32_t i = 0; i < n_sentences(); ++i) {
            if (sentence(i).query) continue;
            ++n_told_;
            for (const Word& word : outline_.words_of(sentence(i))) {
                mentions_.push_back({word.stem, i});
            }
        }
        std::ranges::sort(mentions_, {},
                          [](const Mention& m) { return std::pair(m.stem, m.sentence); });
    }

    // In the order of the text.
    std::span<const Mention> mentions_of(uint64_t stem) const {
        const auto found = std::ranges::equal_range(mentions_, stem, {}, &Mention::stem);
        return {found.begin(), found.end()};
    }

    // 1 for a word that two sentences share, falling to 0 for one that all of them have.
    float weight_of(std::span<const Mention> mentions) const {
        const double n = std::max(n_told_, 4);
        const double share = std::max<double>(static_cast<double>(mentions.size()), 2) / n;
        const double weight = std::log(1 / std::min(share, 1.0)) / std::log(n / 2);
        return static_cast<float>(weight);
    }

    void reach(int32_t i, float weight) {
        if (weight >= kWeightMin && weight > path(i)) {
            path(i) = weight;
            reached_.push_back(i);
        }
    }

    void seed() {
        for (int32_t i = 0; i < n_sentences(); ++i) {
            if (!sentence(i).query) continue;
            for (const Word& word : outline_.words_of(sentence(i))) {
                const auto mentions = mentions_of(word.stem);
                const float weight = weight_of(mentions);
                for (const Mention& mention : mentions) reach(mention.sentence, weight);
            }
        }
        if (!reached_.empty()) return;
        // The question names nothing: it is about everything.
        for (int32_t i = 0; i < n_sentences(); ++i) {
            if (!sentence(i).query) reach(i, 1);
        }
    }

    // One hop from all sentences whose path got better in the last one.
    bool spread() {
        std::vector<int32_t> from = std::exchange(reached_, {});
        std::ranges::sort(from);
        from.erase(std::ranges::unique(from).begin(), from.end());
        for (const int32_t i : from) {
            spread_words(i);
            spread_references(i);
        }
        return !reached_.empty();
    }

    void spread_words(int32_t i) {
        for (const Word& word : outline_.words_of(sentence(i))) {
            const auto mentions = mentions_of(word.stem);
            const float weight = path(i) * kHopKeeps * weight_of(mentions);
            if (weight < kWeightMin) continue;
            for (const Mention& mention : mentions) reach(mention.sentence, weight);
        }
    }

    void spread_references(int32_t i) {
        for (const int32_t j : {antecedent(i), antecedent(i, true)}) {
            if (j >= 0) reach(j, path(i) * kHopKeeps);
        }
        for (int32_t j = i + 1; j < n_sentences() && j <= i + 1 + kOpeningSentences; ++j) {
            if (antecedent(j) == i || antecedent(j, true) == i) reach(j, path(i) * kHopKeeps);
        }
    }

    // Number of sentences of its part in front of it, if that is less than kOpeningSentences.
    int32_t place_in_part(int32_t i) const {
        int32_t n = 0;
        while (n < kOpeningSentences && i - n > 0 && sentence(i - n - 1).part == sentence(i).part) {
            ++n;
        }
        return n;
    }

    // The sentence that a back reference is about: the one before, or (`beyond`) the last one in
    // front of its chunk, where it is among the chunk's first. -1: none.
    int32_t antecedent(int32_t i, bool beyond = false) const {
        if (!sentence(i).refers_back || sentence(i).query) return -1;
        const int32_t place = place_in_part(i);
        if (!beyond) return place > 0 ? i - 1 : -1;
        return place < kOpeningSentences ? i - place - 1 : -1;
    }

    const PassiveSpan* span_of(TokenSpan rows) const {
        const auto behind = std::ranges::upper_bound(
            spans_, rows.end - 1, {}, [](const PassiveSpan& span) { return span.rows.begin; });
        if (behind == spans_.begin()) return nullptr;
        const PassiveSpan& span = *std::prev(behind);
        return span.rows.end > rows.begin ? &span : nullptr;
    }

    std::vector<TracedRun> find_runs() {
        std::vector<TracedRun> runs;
        for (int32_t i = 0; i < n_sentences(); ++i) {
            if (path(i) == 0) continue;
            need(i) = find_need(i);
            const TokenSpan rows = sentence(i).rows;
            const PassiveSpan* span = span_of(rows);
            if (span == nullptr || span->settled) continue;
            const int32_t taken = runs.empty() ? 0 : runs.back().rows.end;
            const TokenSpan run{std::max({rows.begin, span->rows.begin, taken}),
                                std::min(rows.end, span->rows.end)};
            if (run.begin < run.end) runs.push_back({run, path(i) * need(i)});
        }
        return runs;
    }

    // How much a sentence on the path leans on text in front of its chunk. Sentences in front of it
    // have theirs already.
    float find_need(int32_t i) {
        if (antecedent(i, true) >= 0) return 1;
        float most = kNeedAlone;
        if (const int32_t j = antecedent(i); j >= 0) most = std::max(most, need(j));
        for (const Word& word : outline_.words_of(sentence(i))) {
            const auto mentions = mentions_of(word.stem);
            const float weight = weight_of(mentions);
            if (weight < kWeightMin) continue;
            for (const Mention& mention : mentions) {
                if (mention.sentence >= i) break;
                const bool other = sentence(mention.sentence).part != sentence(i).part;
                most = std::max(most, other ? weight : weight * need(mention.sentence));
            }
        }
        return most;
    }

    const PromptOutline& outline_;
    std::span<const PassiveSpan> spans_;
    std::vector<Mention> mentions_;  // by stem, then in the order of the text
    int32_t n_told_ = 0;             // sentences that are not of the question
    std::vector<float> path_;        // of each sentence, 0: not on the path
    std::vector<float> need_;        // of each sentence on the path; see find_need()
    std::vector<int32_t> reached_;   // whose path got better
};

}  // namespace

std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans) {
    return Tracer(outline, spans).run();
}

}  // namespace spolia
