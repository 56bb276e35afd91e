#include "reuse/trace.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

namespace spolia {
namespace {

constexpr int kHopsMax = 4;
// Of a path's weight, what a hop keeps that leads to earlier text, which a sentence may have its
// meaning from, and one to later text.
constexpr float kHopKeeps = 0.9f;
constexpr float kLaterHopKeeps = 0.5f;
// Words and paths below it lead nowhere.
constexpr float kPathMin = 0.3f;
// What a sentence that leans on nothing in front of its chunk needs. A model may still hold in it
// where in the whole text it stands.
constexpr float kNeedAlone = 0.4f;
// A back reference in one of a chunk's first sentences, be it behind a title, may mean something in
// front of the chunk.
constexpr int32_t kOpeningSentences = 2;

// Where a word stands.
struct Mention {
    uint64_t stem = 0;
    int32_t sentence = 0;
};

// Sentences are numbered as they stand in told_.
class Tracer {
public:
    Tracer(const PromptOutline& outline, std::span<const PassiveSpan> spans)
        : outline_(outline), spans_(spans) {
        for (const Sentence& each : outline.sentences) {
            if (each.role == SegmentRole::kChunk) told_.push_back(&each);
        }
        path_.resize(told_.size());
        need_.resize(told_.size());
        index_words();
    }

    std::vector<TracedRun> run() {
        seed();
        for (int hop = 0; hop < kHopsMax && spread(); ++hop) {}
        return find_runs();
    }

private:
    int32_t n_told() const { return static_cast<int32_t>(told_.size()); }
    const Sentence& sentence(int32_t i) const { return *told_[static_cast<size_t>(i)]; }
    float& path(int32_t i) { return path_[static_cast<size_t>(i)]; }
    float& need(int32_t i) { return need_[static_cast<size_t>(i)]; }
    bool same_part(int32_t i, int32_t j) const { return sentence(i).part == sentence(j).part; }

    void index_words() {
        for (int32_t i = 0; i < n_told(); ++i) {
            for (const uint64_t stem : outline_.words_of(sentence(i))) {
                mentions_.push_back({stem, i});
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
        const double n = n_told(),
                     n_with = std::max<double>(static_cast<double>(mentions.size()), 2);
        return n <= 2 ? 1 : static_cast<float>(std::log(n / n_with) / std::log(n / 2));
    }

    void reach(int32_t i, float weight) {
        if (weight >= kPathMin && weight > path(i)) {
            path(i) = weight;
            reached_.push_back(i);
        }
    }

    void hop(int32_t from, int32_t to, float weight) {
        const bool keeps = to <= from || outline_.asks_for_all;
        reach(to, path(from) * weight * (keeps ? kHopKeeps : kLaterHopKeeps));
    }

    void seed() {
        for (const Sentence& question : outline_.sentences) {
            if (question.role != SegmentRole::kQuery) continue;
            for (const uint64_t stem : outline_.words_of(question)) {
                const auto mentions = mentions_of(stem);
                const float weight = weight_of(mentions);
                for (const Mention& mention : mentions) reach(mention.sentence, weight);
            }
        }
        if (!reached_.empty()) return;
        // The question names nothing: it is about everything.
        for (int32_t i = 0; i < n_told(); ++i) reach(i, 1);
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
        for (const uint64_t stem : outline_.words_of(sentence(i))) {
            const auto mentions = mentions_of(stem);
            const float weight = weight_of(mentions);
            if (path(i) * weight * kHopKeeps < kPathMin) continue;
            for (const Mention& mention : mentions) hop(i, mention.sentence, weight);
        }
    }

    void spread_references(int32_t i) {
        for (const int32_t j : {antecedent(i), antecedent_beyond(i)}) {
            if (j >= 0) hop(i, j, 1);
        }
        for (int32_t j = i + 1; j < n_told() && j <= i + 1 + kOpeningSentences; ++j) {
            if (antecedent(j) == i || antecedent_beyond(j) == i) hop(i, j, 1);
        }
    }

    // Number of sentences of its part in front of it, if that is less than kOpeningSentences.
    int32_t place_in_part(int32_t i) const {
        int32_t n = 0;
        while (n < kOpeningSentences && i - n > 0 && same_part(i - n - 1, i)) ++n;
        return n;
    }

    bool refers_beyond(int32_t i) const {
        return sentence(i).refers_back && place_in_part(i) < kOpeningSentences;
    }

    // The sentence in front of one that refers back, in its chunk. -1: none.
    int32_t antecedent(int32_t i) const {
        return sentence(i).refers_back && place_in_part(i) > 0 ? i - 1 : -1;
    }

    // The last sentence of the chunk in front, if the back reference may be about that. -1: none.
    int32_t antecedent_beyond(int32_t i) const {
        return refers_beyond(i) ? i - place_in_part(i) - 1 : -1;
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
        for (int32_t i = 0; i < n_told(); ++i) {
            need(i) = find_need(i);
            const float weight = path(i) > 0            ? path(i) * need(i)
                                 : need(i) > kNeedAlone ? kWeightOffPath * need(i)
                                                        : 0;
            const TokenSpan rows = sentence(i).rows;
            const PassiveSpan* span = weight > 0 ? span_of(rows) : nullptr;
            if (span == nullptr || span->settled) continue;
            const int32_t taken = runs.empty() ? 0 : runs.back().rows.end;
            const TokenSpan run{std::max({rows.begin, span->rows.begin, taken}),
                                std::min(rows.end, span->rows.end)};
            if (run.begin < run.end) runs.push_back({run, weight});
        }
        return runs;
    }

    // How much a sentence leans on text in front of its chunk. Sentences in front of it have theirs
    // already.
    float find_need(int32_t i) {
        if (refers_beyond(i) && has_text_in_front(i)) return 1;
        float most = kNeedAlone;
        if (const int32_t j = antecedent(i); j >= 0) most = std::max(most, need(j));
        for (const uint64_t stem : outline_.words_of(sentence(i))) {
            const auto mentions = mentions_of(stem);
            const float weight = weight_of(mentions);
            if (weight < kPathMin) continue;
            for (const Mention& mention : mentions) {
                if (mention.sentence >= i) break;
                const bool own = same_part(mention.sentence, i);
                most = std::max(most, own ? weight * need(mention.sentence) : weight);
            }
        }
        return most;
    }

    // Of any role.
    bool has_text_in_front(int32_t i) const {
        return outline_.sentences.front().part < sentence(i).part;
    }

    const PromptOutline& outline_;
    std::span<const PassiveSpan> spans_;
    std::vector<const Sentence*> told_;  // those of chunks
    std::vector<Mention> mentions_;      // by stem, then in the order of the text
    std::vector<float> path_;            // of each sentence, 0: not on the path
    std::vector<float> need_;            // of each sentence; see find_need()
    std::vector<int32_t> reached_;       // whose path got better
};

}  // namespace

std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans) {
    return Tracer(outline, spans).run();
}

}  // namespace spolia
