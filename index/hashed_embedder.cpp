#include "index/hashed_embedder.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string>
#include <unordered_set>

#include "index/characters.h"
#include "index/feature_counts.h"
#include "index/lines.h"
#include "index/normal_text.h"

namespace spolia {
namespace {

// To be raised with every change of what a text's vector is.
constexpr std::string_view kVersion = "spolia hashed embedder 1";
constexpr size_t kDims = 384;

// Features are counted over this much text at once, which bounds the memory that a text takes.
constexpr size_t kSectionBytes = size_t{256} << 10;
// What is longer without a mark or a space is taken for several words.
constexpr size_t kWordMax = 48;

// How much features count against a word's 1. Parts of words are many and shared by many words.
constexpr std::array<float, 2> kPartWeights = {0.15f, 0.2f};  // of 3 and 4 characters
constexpr float kPairWeight = 0.3f;
constexpr float kNumberWeight = 1.2f;
constexpr float kCommonWeight = 0.08f;
// Of scripts without spaces: a character, two and three in a row.
constexpr std::array<float, 3> kRunWeights = {0.3f, 1.0f, 0.4f};

// Words that say little of what a text is about, normalised.
constexpr std::string_view kCommonWords =
    // English
    "a about after all also an and any are as at be because been but by can could did do does for "
    "from had has have he her his how i if in into is it its just may more most my no not of on "
    "one or other our out over she should so some such than that the their them then there these "
    "they this those to up us was we were what when where which who will with would you your "
    // German
    "aber als am an auch auf aus bei bin bis da das dass dem den der des die doch du durch ein "
    "eine einem einen einer eines er es für hat hatte ich ihm ihr im in ist ja kann kein keine "
    "mehr mit nach nicht noch nur oder sein sich sie sind so über um und uns unter vom von vor war "
    "was wenn werden wie wir wird zu zum zur "
    // French
    "au aux avec ce ces cette dans de des du elle en est et eux il ils je la le les leur lui ma "
    "mais me même mes moi mon ne nos notre nous on ont ou par pas pour qu que qui sa se ses son "
    "sont sur ta te tes toi ton tu un une vos votre vous "
    // Spanish, Portuguese, Italian
    "al ante che com como con cuando da das del della di do dos el ella em era es esta este foi ha "
    "hay il las lo los mais mas mi muy na não no nos o os para pelo per più por porque que se sem "
    "ser si sin sobre son su sua sus também te um uma un una unos y ya "
    // Dutch
    "aan bij dat de deze die dit door een en er het hij hoe ik is maar met naar niet nog of om ook "
    "op te tot uit van voor was wat we werd wij ze zich zijn "
    // Russian
    "а без бы был была были было в вы да для до его ее если же за и из или их к как ко мы на не ни "
    "но о об он она они от по при с со так то тот ты у что это я";

uint64_t mixed(uint64_t x) {
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
    x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
    return x ^ (x >> 32);
}

// A hash of a sequence, a code point at a time; `mixed` makes it one to be used.
uint64_t followed_by(uint64_t hash, uint32_t code) {
    return (hash + code + 1) * 0x9e3779b97f4a7c15;
}

// First words of what features hash, so that those of different kinds are different.
enum FeatureKind : uint64_t { kWord = 1, kPart, kPair, kRun };

uint64_t word_hash(std::span<const uint32_t> codes) {
    uint64_t hash = kWord;
    for (const uint32_t code : codes) hash = followed_by(hash, code);
    return mixed(hash);
}

// A word of the text: code points with kEdge around them.
constexpr uint32_t kEdge = ' ';

// Calls on_word(codes, has_digit) for each run of letters and digits of a normalised text, and
// on_run(codes) for each run of characters of scripts without spaces. Both may be cut: see
// kWordMax.
template <class OnWord, class OnRun>
void scan_words(std::string_view text, OnWord&& on_word, OnRun&& on_run) {
    std::array<uint32_t, kWordMax> codes;
    size_t n = 0;
    bool has_digit = false, is_run = false;
    const auto end = [&] {
        if (n > 0 && is_run) on_run(std::span<const uint32_t>(codes.data(), n));
        if (n > 0 && !is_run) on_word(std::span<const uint32_t>(codes.data(), n), has_digit);
        n = 0;
        has_digit = false;
    };
    for (size_t at = 0; at < text.size();) {
        const Character next = character_at(text.substr(at));
        at += next.bytes;
        const bool ideograph = next.kind == CharacterKind::kIdeograph;
        if (n == kWordMax || (n > 0 && ideograph != is_run)) end();
        if (next.kind == CharacterKind::kOther || next.kind == CharacterKind::kUnderscore) {
            end();
            continue;
        }
        is_run = ideograph;
        has_digit = has_digit || next.kind == CharacterKind::kDigit;
        codes[n++] = next.code;
    }
    end();
}

class HashedEmbedder final : public TextEmbedder {
public:
    HashedEmbedder() {
        for (size_t n = 1; n < count_weights_.size(); ++n) {
            count_weights_[n] = 1 + std::log(static_cast<float>(n));
        }
        scan_words(
            kCommonWords,
            [this](std::span<const uint32_t> codes, bool) { common_.insert(word_hash(codes)); },
            [](std::span<const uint32_t>) {});
    }

    int32_t n_dims() const override { return kDims; }
    Key128 fingerprint() const override { return hash_text(kVersion); }
    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override;

    // A word that comes often says more, but not in proportion.
    float count_weight(uint32_t count) const {
        if (count < count_weights_.size()) return count_weights_[count];
        return 1 + std::log(static_cast<float>(count));
    }
    float word_weight(uint64_t hash, size_t n_codes, bool has_digit) const {
        constexpr std::array<float, 4> kOfLength = {0, 0.3f, 0.5f, 0.8f};
        if (has_digit) return kNumberWeight;
        if (common_.contains(hash)) return kCommonWeight;
        return n_codes < kOfLength.size() ? kOfLength[n_codes] : 1.0f;
    }

private:
    std::unordered_set<uint64_t> common_;
    std::array<float, 64> count_weights_{};  // of the counts that are met most
};

// Adds up the vectors of texts, one after the other.
class TextVectors {
public:
    explicit TextVectors(const HashedEmbedder& embedder) : embedder_(embedder) {}

    void add_text(std::string_view text, std::span<float> vector) {
        while (!text.empty()) {
            const std::string_view section = text.substr(0, section_end(text));
            count(normal_text(section));
            add_counted(vector);
            text.remove_prefix(section.size());
        }
    }

private:
    // A word that was met, for its parts.
    struct Word {
        size_t begin = 0, end = 0;  // in codes_, with edges
        size_t feature = 0;
    };

    // Before a word, if there is any white space.
    static size_t section_end(std::string_view text) {
        if (text.size() <= kSectionBytes) return text.size();
        size_t end = kSectionBytes;
        while (end > 0 && !is_space(text[end])) --end;
        return end > 0 ? end : kSectionBytes;
    }

    void count(std::string_view text) {
        previous_ = 0;
        scan_words(
            text, [this](std::span<const uint32_t> codes, bool digit) { count_word(codes, digit); },
            [this](std::span<const uint32_t> codes) { count_run(codes); });
        // Words first: a word's parts are counted once, however often it was met.
        for (const Word& word : words_) count_parts(word);
    }

    void count_word(std::span<const uint32_t> codes, bool has_digit) {
        const uint64_t hash = word_hash(codes);
        const size_t n_before = features_.all().size();
        const float weight = embedder_.word_weight(hash, codes.size(), has_digit);
        const size_t feature = features_.add(hash, weight);
        if (feature == n_before && !has_digit && weight > kCommonWeight) {
            const size_t begin = codes_.size();
            codes_.push_back(kEdge);
            codes_.insert(codes_.end(), codes.begin(), codes.end());
            codes_.push_back(kEdge);
            words_.push_back({begin, codes_.size(), feature});
        }
        if (previous_ != 0) {
            features_.add(mixed(previous_ * 3 + hash + kPair),
                          kPairWeight * std::sqrt(previous_weight_ * weight));
        }
        previous_ = hash;
        previous_weight_ = weight;
    }

    void count_run(std::span<const uint32_t> codes) {
        count_grams(codes, kRun, 1, kRunWeights, 1);
        previous_ = 0;
    }

    void count_parts(const Word& word) {
        const std::span<const uint32_t> codes(codes_.data() + word.begin, word.end - word.begin);
        count_grams(codes, kPart, 3, kPartWeights, features_.all()[word.feature].count);
    }

    // Sequences of n_min code points and more, of each length that there is a weight for.
    void count_grams(std::span<const uint32_t> codes, FeatureKind kind, size_t n_min,
                     std::span<const float> weights, uint32_t n_times) {
        for (size_t begin = 0; begin + n_min <= codes.size(); ++begin) {
            uint64_t hash = kind;
            const size_t n_max = std::min(n_min + weights.size() - 1, codes.size() - begin);
            for (size_t n = 1; n <= n_max; ++n) {
                hash = followed_by(hash, codes[begin + n - 1]);
                if (n >= n_min) features_.add(mixed(hash), weights[n - n_min], n_times);
            }
        }
    }

    void add_counted(std::span<float> vector) {
        for (const FeatureCounts::Feature& feature : features_.all()) {
            const float value = feature.weight * embedder_.count_weight(feature.count);
            const size_t dim = (feature.hash >> 32) * vector.size() >> 32;
            // A branch would be guessed wrong every other time.
            const float sign = static_cast<float>(feature.hash & 1) * 2 - 1;
            vector[dim] += sign * value;
        }
        features_.clear();
        words_.clear();
        codes_.clear();
    }

    const HashedEmbedder& embedder_;
    FeatureCounts features_;
    std::vector<Word> words_;
    std::vector<uint32_t> codes_;
    uint64_t previous_ = 0;  // the word before; 0: none
    float previous_weight_ = 0;
};

void normalize(std::span<float> vector) {
    double sum = 0;
    for (const float x : vector) sum += double{x} * x;
    if (sum == 0) return;
    const auto scale = static_cast<float>(1 / std::sqrt(sum));
    for (float& x : vector) x *= scale;
}

Result<std::vector<float>> HashedEmbedder::embed(std::span<const std::string_view> texts) const {
    std::vector<float> vectors(texts.size() * kDims);
    TextVectors text_vectors(*this);
    for (size_t i = 0; i < texts.size(); ++i) {
        const std::span<float> vector(vectors.data() + i * kDims, kDims);
        text_vectors.add_text(texts[i], vector);
        normalize(vector);
    }
    return vectors;
}

}  // namespace

std::unique_ptr<TextEmbedder> make_hashed_embedder() { return std::make_unique<HashedEmbedder>(); }

}  // namespace spolia
