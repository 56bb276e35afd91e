#include "reuse/trace.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace spolia {
namespace {

constexpr int kHopsMax = 4;
// What a path loses with every hop, and more where it goes to later text: a row there was not read
// by the sentence that leads to it.
constexpr float kHopKeeps = 0.9f;
constexpr float kForwardKeeps = 0.5f;
// Words and paths below it lead nowhere.
constexpr float kWeightMin = 0.4f;
// A back reference in one of a chunk's first sentences, be it behind a title, may mean something in
// front of the chunk.
constexpr int32_t kOpeningSentences = 2;

// Where a word stands.
struct Mention {
    uint64_t stem = 0;
    int32_t sentence = 0;
    int32_t row = 0;
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
        for (int hop = 0; hop < kHopsMax && spread(); ++hop) {
        }
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
                mentions_.push_back({word.stem, i, word.row});
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
            for (const Mention& mention : mentions) {
                reach(mention.sentence, mention.sentence < i ? weight : weight * kForwardKeeps);
            }
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
            const PassiveSpan* span = span_of(sentence(i).rows);
            if (span == nullptr || span->settled) continue;
            const int32_t begin = find_need(i);
            if (need(i) < kWeightMin) continue;
            const int32_t taken = runs.empty() ? 0 : runs.back().rows.end;
            const TokenSpan rows{std::max({begin, span->rows.begin, taken}),
                                 std::min(sentence(i).rows.end, span->rows.end)};
            if (rows.begin < rows.end) runs.push_back({rows, path(i) * need(i)});
        }
        return runs;
    }

    // Sets need(i), and gives the first row that needs mending.
    int32_t find_need(int32_t i) {
        int32_t begin = sentence(i).rows.end;
        const auto needs = [&](float weight, int32_t row) {
            if (weight < kWeightMin) return;
            need(i) = std::max(need(i), weight);
            begin = std::min(begin, row);
        };
        if (antecedent(i, true) >= 0) needs(1, sentence(i).rows.begin);
        if (const int32_t j = antecedent(i); j >= 0) needs(need(j), sentence(i).rows.begin);
        for (const Word& word : outline_.words_of(sentence(i))) {
            const auto mentions = mentions_of(word.stem);
            const float weight = weight_of(mentions);
            if (weight < kWeightMin) continue;
            for (const Mention& mention : mentions) {
                if (mention.sentence >= i) break;
                const bool other = sentence(mention.sentence).part != sentence(i).part;
                needs(other ? weight : weight * need(mention.sentence), word.row);
            }
        }
        return begin;
    }

    const PromptOutline& outline_;
    std::span<const PassiveSpan> spans_;
    std::vector<Mention> mentions_;  // by stem, then in the order of the text
    int32_t n_told_ = 0;             // sentences that are not of the question
    std::vector<float> path_;        // of each sentence, 0: not on the path
    std::vector<float> need_;        // of each sentence on the path, once it was asked for
    std::vector<int32_t> reached_;   // whose path got better
};

}  // namespace

std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans) {
    return Tracer(outline, spans).run();
}

}  // namespace spolia
