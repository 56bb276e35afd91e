#include "broker/tasks/edits.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "broker/tasks/phrases.h"
#include "broker/tasks/random.h"
#include "broker/tasks/words.h"

namespace spolia {
namespace {

constexpr std::string_view kNever = "never";

// A word with the punctuation behind it.
struct Word {
    std::string text;
    std::string_view mark;  // of static storage
};
using Words = std::vector<Word>;  // of a sentence

std::vector<Words> sentences_of(const std::string& note) {
    std::vector<Words> sentences(1);
    for (size_t begin = 0; begin < note.size();) {
        const size_t end = std::min(note.find(' ', begin), note.size());
        Word word{note.substr(begin, end - begin), {}};
        if (word.text.ends_with('.')) {
            word.text.pop_back();
            word.mark = ".";
        }
        const bool last = !word.mark.empty();
        sentences.back().push_back(std::move(word));
        if (last) sentences.emplace_back();
        begin = end + 1;
    }
    if (sentences.back().empty()) sentences.pop_back();
    return sentences;
}

std::string text_of(const std::vector<Words>& sentences) {
    std::string text;
    for (const Words& sentence : sentences) {
        for (const Word& word : sentence) {
            if (!text.empty()) text += ' ';
            text += word.text;
            text += word.mark;
        }
    }
    return text;
}

bool is_ship(const std::string& word) {
    return std::ranges::find(ship_names(), word) != ship_names().end();
}
bool is_cargo(const std::string& word) {
    return std::ranges::find(cargo_words(), word) != cargo_words().end();
}

class Editor {
public:
    Editor(const std::string& note, const std::string& answer, uint64_t seed)
        : answer_(answer), random_(seed), sentences_(sentences_of(note)) {}

    std::string edit(EditKind kind) && {
        switch (kind) {
            case EditKind::kWords1: replace_words(1); break;
            case EditKind::kWords5: replace_words(5); break;
            case EditKind::kWords20: replace_words(20); break;
            case EditKind::kInsertion: sentences_.insert(place(), foreign_sentence()); break;
            case EditKind::kDeletion: remove(); break;
            case EditKind::kMove: move(); break;
            case EditKind::kFact: change_fact(); break;
            case EditKind::kNegation: negate(); break;
            case EditKind::kLookAlike: replace_names(); break;
            case EditKind::kParaphrase: paraphrase(); break;
        }
        return text_of(sentences_);
    }

private:
    using Place = std::vector<Words>::iterator;

    std::string other(std::span<const std::string_view> words, const std::string& than) {
        for (;;) {
            std::string word(random_.pick(words));
            if (word != than) return word;
        }
    }
    std::string other_of_its_class(const std::string& word) {
        if (is_ship(word)) return other(ship_names(), word);
        if (is_cargo(word)) return other(cargo_words(), word);
        return other(note_labels(), word);
    }
    void replace_words(uint32_t percent) {
        for (Words& sentence : sentences_) {
            for (Word& word : sentence) {
                if (random_.chance(percent)) word.text = other_of_its_class(word.text);
            }
        }
    }
    void replace_names() {
        for (Words& sentence : sentences_) {
            for (Word& word : sentence) {
                if (is_ship(word.text) || is_cargo(word.text)) {
                    word.text = other_of_its_class(word.text);
                }
            }
        }
    }

    Words foreign_sentence() {
        return {{std::string(random_.pick(ship_names())), {}},
                {"carries", {}},
                {std::string(random_.pick(cargo_words())), "."}};
    }
    // Of a sentence, but for the title.
    Place place() {
        const size_t n = sentences_.size();
        return sentences_.begin() +
               static_cast<std::ptrdiff_t>(n < 2 ? n : 1 + random_.below(n - 1));
    }
    void remove() {
        if (sentences_.size() > 1) sentences_.erase(place());
    }
    void move() {
        if (sentences_.size() < 3) return;
        const Place from = place();
        Words moved = std::move(*from);
        sentences_.erase(from);
        sentences_.insert(place(), std::move(moved));
    }

    bool says_answer(const Words& sentence) const {
        return std::ranges::any_of(sentence,
                                   [&](const Word& word) { return word.text == answer_; });
    }
    void change_fact() {
        for (Words& sentence : sentences_) {
            for (Word& word : sentence) {
                if (word.text == answer_) word.text = other_of_its_class(answer_);
            }
        }
    }
    void negate() {
        for (Words& sentence : sentences_) {
            if (!says_answer(sentence)) continue;
            const auto verb = std::ranges::find(sentence, "carries", &Word::text);
            if (verb == sentence.end()) continue;
            if (verb != sentence.begin() && std::prev(verb)->text == kNever) {
                sentence.erase(std::prev(verb));
            } else {
                sentence.insert(verb, {std::string(kNever), {}});
            }
        }
    }
    // "Mira carries silk." becomes "What Mira carries is silk."
    void paraphrase() {
        for (Words& sentence : sentences_) {
            if (sentence.size() != 3 || sentence[1].text != "carries") continue;
            sentence.insert(sentence.begin() + 2, {"is", {}});
            sentence.insert(sentence.begin(), {"What", {}});
        }
    }

    const std::string& answer_;
    TaskRandom random_;
    std::vector<Words> sentences_;
};

}  // namespace

std::string_view to_string(EditKind kind) {
    switch (kind) {
        case EditKind::kWords1: return "1 % of words";
        case EditKind::kWords5: return "5 % of words";
        case EditKind::kWords20: return "20 % of words";
        case EditKind::kInsertion: return "a sentence more";
        case EditKind::kDeletion: return "a sentence less";
        case EditKind::kMove: return "a sentence moved";
        case EditKind::kFact: return "another fact";
        case EditKind::kNegation: return "negated";
        case EditKind::kLookAlike: return "look-alike";
        case EditKind::kParaphrase: return "paraphrase";
    }
    return {};
}

std::string edited_note(EditKind kind, const std::string& note, const std::string& answer,
                        uint64_t seed) {
    return Editor(note, answer, mix_seed(seed, static_cast<uint64_t>(kind))).edit(kind);
}

}  // namespace spolia
