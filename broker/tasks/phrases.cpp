#include "broker/tasks/phrases.h"

#include <span>
#include <string_view>

#include "broker/tasks/words.h"

namespace spolia {
namespace {

std::string text_at(std::span<const std::string_view> words, int32_t index) {
    return std::string(words[static_cast<size_t>(index)]);
}

// "Mira carries " and the like: all in front of the sentence's last word.
std::string opening(const Statement& statement, TaskStage stage) {
    const std::string ship = ship_text(statement.ship);
    if (stage == TaskStage::kPairs) return ship + ' ';
    switch (statement.form) {
        case Form::kCarries: return ship + " carries ";
        case Form::kMatches: return ship + " matches ";
        case Form::kNowCarries: return "Now " + ship + " carries ";
        case Form::kNowMatches: return "Now " + ship + " matches ";
        case Form::kNever: return ship + " never carries ";
        case Form::kNext: return ship + " is ";
        case Form::kItCarries: return "It carries ";
    }
    return {};
}

std::string last_word(const Statement& statement) {
    if (statement.form == Form::kNext) return "next";
    return statement.target >= 0 ? ship_text(statement.target) : cargo_text(statement.cargo);
}

void add_sentence(const Statement& statement, TaskStage stage, std::string& text,
                  std::vector<TaskHint>& hints) {
    text += ' ';
    if (statement.form == Form::kItCarries) {
        const auto end = static_cast<uint32_t>(text.size() + 2);
        hints.push_back({statement.chunk, end, ship_text(statement.ship)});
    }
    text += opening(statement, stage) + last_word(statement);
    if (statement.target >= 0) {
        const auto end = static_cast<uint32_t>(text.size());
        hints.push_back({statement.chunk, end, cargo_text(statement.cargo)});
    }
    if (statement.tail >= 0) text += ' ' + text_at(sentence_tails(), statement.tail);
    text += '.';
}

}  // namespace

std::string ship_text(int32_t ship) { return text_at(ship_names(), ship); }
std::string cargo_text(int32_t cargo) { return text_at(cargo_words(), cargo); }

std::vector<std::string> chunk_texts(const Ledger& ledger, TaskStage stage,
                                     std::vector<TaskHint>& hints) {
    std::vector<std::string> texts(ledger.labels.size());
    for (size_t i = 0; i < texts.size(); ++i) {
        texts[i] = "Note " + text_at(note_labels(), ledger.labels[i]) + '.';
    }
    for (const Statement& statement : ledger.statements) {
        add_sentence(statement, stage, texts[static_cast<size_t>(statement.chunk)], hints);
    }
    return texts;
}

std::string cargo_question(int32_t ship, TaskStage stage) {
    switch (stage) {
        case TaskStage::kPairs: return "? " + ship_text(ship);
        case TaskStage::kWords: return "? " + ship_text(ship) + " carries";
        case TaskStage::kSentences: return "What does " + ship_text(ship) + " carry?";
    }
    return {};
}

}  // namespace spolia
