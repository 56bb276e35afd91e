#include "reuse/trace.h"

#include <algorithm>
#include <cmath>
#include <compare>
#include <cstddef>
#include <unordered_map>
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

// All sentences that have a word, in the order of the text.
struct Mentions {
    std::span<const int32_t> sentences;
    float weight = 0;  // 1: two of them share it, falling to 0: all have it
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
        struct Use {
            uint64_t stem = 0;
            int32_t sentence = 0;
            uint32_t word = 0;
            auto operator<=>(const Use&) const = default;
        };
        std::vector<Use> uses;
        for (int32_t i = 0; i < n_told(); ++i) {
            for (uint32_t word = sentence(i).word_begin; word < sentence(i).word_end; ++word) {
                uses.push_back({outline_.words[word], i, word});
            }
        }
        std::ranges::sort(uses);
        for (const Use& use : uses) mentioning_.push_back(use.sentence);
        mentions_of_word_.resize(outline_.words.size());
        for (size_t begin = 0, end = 0; begin < uses.size(); begin = end) {
            const uint64_t stem = uses[begin].stem;
            while (end < uses.size() && uses[end].stem == stem) ++end;
            const auto sentences = std::span(mentioning_).subspan(begin, end - begin);
            const Mentions mentions{sentences, weight_of(sentences.size())};
            for (size_t i = begin; i < end; ++i) mentions_of_word_[uses[i].word] = mentions;
            mentions_[stem] = mentions;
        }
    }

    float weight_of(size_t n_mentions) const {
        const double n = n_told(), n_with = std::max<double>(static_cast<double>(n_mentions), 2);
        return n <= 2 ? 1 : static_cast<float>(std::log(n / n_with) / std::log(n / 2));
    }

    // Of each word of a sentence.
    std::span<const Mentions> mentions_in(int32_t i) const {
        const Sentence& of = sentence(i);
        return std::span(mentions_of_word_).subspan(of.word_begin, of.word_end - of.word_begin);
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
                const auto found = mentions_.find(stem);
                if (found == mentions_.end()) continue;
                for (const int32_t i : found->second.sentences) reach(i, found->second.weight);
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
        for (const auto& [sentences, weight] : mentions_in(i)) {
            if (path(i) * weight * kHopKeeps < kPathMin) continue;
            for (const int32_t j : sentences) hop(i, j, weight);
        }
    }

    void spread_references(int32_t i) {
        for (const int32_t j : {antecedent(i), antecedent_beyond(i)}) {
            if (j >= 0) hop(i, j, 1);
        }
        for (int32_t j = i + 1; j < n_told() && j <= i + kOpeningSentences; ++j) {
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

    // The spans that have a row of these.
    std::span<const PassiveSpan> spans_in(TokenSpan rows) const {
        const auto first = std::ranges::upper_bound(
            spans_, rows.begin, {}, [](const PassiveSpan& span) { return span.rows.end; });
        const auto behind =
            std::ranges::lower_bound(first, spans_.end(), rows.end, {},
                                     [](const PassiveSpan& span) { return span.rows.begin; });
        return {first, behind};
    }

    std::vector<TracedRun> find_runs() {
        find_needs();
        std::vector<TracedRun> runs;
        for (int32_t i = 0; i < n_told(); ++i) {
            const float weight = path(i) > 0            ? path(i) * need(i)
                                 : need(i) > kNeedAlone ? kWeightOffPath * need(i)
                                                        : 0;
            if (weight <= 0) continue;
            const TokenSpan rows = sentence(i).rows;
            for (const PassiveSpan& span : spans_in(rows)) {
                if (span.settled) continue;
                const int32_t taken = runs.empty() ? 0 : runs.back().rows.end;
                const TokenSpan run{std::max({rows.begin, span.rows.begin, taken}),
                                    std::min(rows.end, span.rows.end)};
                if (run.begin < run.end) runs.push_back({run, weight});
            }
        }
        return runs;
    }

    // How much each sentence leans on text that its block was made without.
    void find_needs() {
        for (int32_t i = 0; i < n_told(); ++i) need(i) = find_need(i, nullptr, need_);
        // Seen from another block the same sentences may be known: each has a view of its own.
        std::vector<float> seen(told_.size());
        std::vector<std::pair<int32_t, float>> found;
        for (const PassiveSpan& span : spans_) {
            if (span.known != nullptr && !span.settled) look_from(span, seen, found);
        }
        // Where a sentence is under several blocks, the most that one of them needs.
        std::ranges::sort(found);
        for (const auto& [i, most] : found) need(i) = most;
    }

    void look_from(const PassiveSpan& span, std::vector<float>& seen,
                   std::vector<std::pair<int32_t, float>>& found) const {
        for (int32_t i = 0; i < n_told() && sentence(i).rows.begin < span.rows.end; ++i) {
            const bool own = sentence(i).rows.end > span.rows.begin;
            if (!own && !std::ranges::binary_search(span.known->parts, sentence(i).part)) continue;
            seen[static_cast<size_t>(i)] = find_need(i, span.known, seen);
            if (own) found.emplace_back(i, seen[static_cast<size_t>(i)]);
        }
    }

    // `needs` are those of the sentences in front of it, of its own part and of known ones.
    float find_need(int32_t i, const KnownContext* known, std::span<const float> needs) const {
        if (is_edited(i, known)) return 1;
        float most = std::max(kNeedAlone, need_of_lost(i, known));
        if (refers_beyond(i) && has_text_in_front(i)) {
            const int32_t j = antecedent_beyond(i);
            const bool knows = j >= 0 && known != nullptr &&
                               std::ranges::binary_search(known->adjoining, sentence(i).part);
            if (!knows) return 1;
            most = std::max(most, needs[static_cast<size_t>(j)]);
        }
        if (const int32_t j = antecedent(i); j >= 0) {
            most = std::max(most, needs[static_cast<size_t>(j)]);
        }
        for (const auto& [sentences, weight] : mentions_in(i)) {
            if (weight < kPathMin) continue;
            for (const int32_t j : sentences) {
                if (j >= i) break;
                const bool knows =
                    same_part(i, j) || (known != nullptr &&
                                        std::ranges::binary_search(known->parts, sentence(j).part));
                most = std::max(most, knows ? weight * needs[static_cast<size_t>(j)] : weight);
            }
        }
        return most;
    }

    bool is_edited(int32_t i, const KnownContext* known) const {
        if (known == nullptr || known->edited.empty()) return false;
        const TokenSpan rows = sentence(i).rows;
        const auto edit = std::ranges::upper_bound(known->edited, rows.begin, {}, &TokenSpan::end);
        return edit != known->edited.end() && edit->begin < rows.end;
    }

    // Of words shared with text that was in front of it elsewhere, and is not here.
    float need_of_lost(int32_t i, const KnownContext* known) const {
        if (known == nullptr || known->lost.empty()) return 0;
        float most = 0;
        const Sentence& of = sentence(i);
        for (uint32_t word = of.word_begin; word < of.word_end; ++word) {
            if (!std::ranges::binary_search(known->lost, outline_.words[word])) continue;
            const float weight = mentions_of_word_[word].weight;
            if (weight >= kPathMin) most = std::max(most, weight);
        }
        return most;
    }

    // Of any role.
    bool has_text_in_front(int32_t i) const {
        return outline_.sentences.front().part < sentence(i).part;
    }

    const PromptOutline& outline_;
    std::span<const PassiveSpan> spans_;
    std::vector<const Sentence*> told_;                // those of chunks
    std::vector<int32_t> mentioning_;                  // what Mentions refer to
    std::vector<Mentions> mentions_of_word_;           // of each word of the outline
    std::unordered_map<uint64_t, Mentions> mentions_;  // by stem
    std::vector<float> path_;                          // of each sentence, 0: not on the path
    std::vector<float> need_;                          // of each sentence; see find_need()
    std::vector<int32_t> reached_;                     // whose path got better
};

}  // namespace

std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans) {
    return Tracer(outline, spans).run();
}

}  // namespace spolia
