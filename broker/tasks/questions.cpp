#include "broker/tasks/questions.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "broker/tasks/phrases.h"
#include "broker/tasks/words.h"

namespace spolia {
namespace {

class Asker {
public:
    Asker(const Ledger& ledger, TaskStage stage, TaskRandom& random)
        : ledger_(ledger), stage_(stage), random_(random) {}

    std::optional<TaskQuestion> ask(TaskKind kind) {
        switch (kind) {
            case TaskKind::kSingleFact: return ask_cargo(is_single_fact);
            case TaskKind::kTwoHops:
                return ask_cargo([](const ShipState& s) { return hops(s, 2); });
            case TaskKind::kThreeHops:
                return ask_cargo([](const ShipState& s) { return hops(s, 3); });
            case TaskKind::kLatestUpdate:
                return ask_cargo([](const ShipState& s) { return s.updated(); });
            case TaskKind::kCoreference:
                return ask_cargo(
                    [](const ShipState& s) { return s.form == Form::kItCarries && s.crosses(); });
            case TaskKind::kNegation:
                return ask_cargo([](const ShipState& s) { return s.negated; });
            case TaskKind::kOrdering: return ask_ordering();
            case TaskKind::kCounting: return ask_counting();
            case TaskKind::kCitation: return ask_citation();
            case TaskKind::kJudge: return ask_judge();
            case TaskKind::kMultiTurn: return ask_follow_up();
            case TaskKind::kLong:
                return ask_cargo([](const ShipState& s) {
                    return is_single_fact(s) || hops(s, 2) || hops(s, 3);
                });
        }
        return std::nullopt;
    }

private:
    static bool is_single_fact(const ShipState& ship) {
        return ship.plain && ship.depth == 0 && !ship.negated;
    }

    // Sentences to read, each in a chunk of its own.
    static bool hops(const ShipState& ship, int32_t n) {
        return ship.plain && !ship.negated && ship.depth == n - 1 &&
               static_cast<int32_t>(ship.path.size()) == n;
    }

    template <typename Wanted>
    const ShipState* pick(Wanted wanted) {
        std::vector<const ShipState*> found;
        for (const ShipState& ship : ledger_.ships) {
            if (wanted(ship)) found.push_back(&ship);
        }
        if (found.empty()) return nullptr;
        return random_.pick(std::span<const ShipState* const>(found));
    }

    template <typename Wanted>
    std::optional<TaskQuestion> ask_cargo(Wanted wanted) {
        const ShipState* ship = pick(wanted);
        if (ship == nullptr) return std::nullopt;
        TaskQuestion question;
        question.question = cargo_question(ship->ship, stage_);
        question.answer = cargo_text(ship->cargo);
        question.needs = ship->path;
        question.cross = ship->crosses();
        return question;
    }

    std::optional<TaskQuestion> ask_ordering() {
        const ShipState* one = pick([](const ShipState&) { return true; });
        const ShipState* other =
            pick([&](const ShipState& ship) { return &ship != one && apart(ship, *one); });
        if (other == nullptr) return std::nullopt;
        const ShipState* first = one->first_statement < other->first_statement ? one : other;
        TaskQuestion question;
        question.question =
            "Which is named first, " + ship_text(one->ship) + " or " + ship_text(other->ship) + '?';
        question.answer = ship_text(first->ship);
        question.needs = {one->named_in.front(), other->named_in.front()};
        std::ranges::sort(question.needs);
        question.cross = true;
        return question;
    }

    // No chunk names both.
    static bool apart(const ShipState& one, const ShipState& other) {
        std::vector<int32_t> both;
        std::ranges::set_intersection(one.named_in, other.named_in, std::back_inserter(both));
        return both.empty();
    }

    std::optional<TaskQuestion> ask_counting() {
        std::vector<TaskQuestion> candidates;
        for (int32_t cargo = 0; cargo < static_cast<int32_t>(cargo_words().size()); ++cargo) {
            if (std::optional<TaskQuestion> question = count(cargo)) {
                candidates.push_back(std::move(*question));
            }
        }
        if (candidates.empty()) return std::nullopt;
        return random_.pick(std::span<const TaskQuestion>(candidates));
    }

    // Ships of the cargo, where several chunks have them and nothing else names the cargo.
    std::optional<TaskQuestion> count(int32_t cargo) const {
        size_t n = 0;
        TaskQuestion question;
        for (const ShipState& ship : ledger_.ships) {
            if (ship.old_cargo == cargo || ship.never_cargo == cargo) return std::nullopt;
            if (ship.cargo != cargo) continue;
            ++n;
            question.needs.insert(question.needs.end(), ship.path.begin(), ship.path.end());
        }
        std::ranges::sort(question.needs);
        question.needs.erase(std::unique(question.needs.begin(), question.needs.end()),
                             question.needs.end());
        if (n == 0 || n > number_words().size() || question.needs.size() < 2) return std::nullopt;
        question.question = "How many carry " + cargo_text(cargo) + '?';
        question.answer = number_words()[n - 1];
        question.cross = true;
        return question;
    }

    std::optional<TaskQuestion> ask_citation() {
        const ShipState* ship = pick([](const ShipState& s) { return s.named_in.size() == 1; });
        if (ship == nullptr) return std::nullopt;
        TaskQuestion question;
        const auto chunk = static_cast<size_t>(ship->named_in.front());
        question.question = "Which note names " + ship_text(ship->ship) + '?';
        question.answer = note_labels()[static_cast<size_t>(ledger_.labels[chunk])];
        question.needs = ship->named_in;
        return question;
    }

    std::optional<TaskQuestion> ask_judge() {
        const ShipState* ship = pick([](const ShipState&) { return true; });
        const int32_t wrong = wrong_cargo(*ship);
        if (wrong < 0) return std::nullopt;
        std::array<int32_t, 2> said = {ship->cargo, wrong};
        const bool swapped = random_.chance(50);
        if (swapped) std::swap(said[0], said[1]);
        TaskQuestion question;
        const std::string carries = " says " + ship_text(ship->ship) + " carries ";
        question.question = 'A' + carries + cargo_text(said[0]) + ". B" + carries +
                            cargo_text(said[1]) + ". Who is right?";
        question.answer = swapped ? "B" : "A";
        question.needs = ship->path;
        question.cross = ship->crosses();
        return question;
    }

    // A cargo that the notes name, if possible together with the ship; -1 where there is none.
    int32_t wrong_cargo(const ShipState& ship) {
        if (ship.old_cargo >= 0) return ship.old_cargo;
        if (ship.never_cargo >= 0) return ship.never_cargo;
        const ShipState* other = pick([&](const ShipState& s) { return s.cargo != ship.cargo; });
        return other == nullptr ? -1 : other->cargo;
    }

    std::optional<TaskQuestion> ask_follow_up() {
        const ShipState* before = pick([](const ShipState&) { return true; });
        const ShipState* ship = pick([&](const ShipState& s) { return &s != before; });
        if (ship == nullptr) return std::nullopt;
        TaskQuestion question;
        question.history = {{cargo_question(before->ship, stage_), cargo_text(before->cargo)}};
        question.question = "And " + ship_text(ship->ship) + '?';
        question.answer = cargo_text(ship->cargo);
        question.needs = ship->path;
        question.cross = ship->crosses();
        return question;
    }

    const Ledger& ledger_;
    const TaskStage stage_;
    TaskRandom& random_;
};

}  // namespace

std::optional<TaskQuestion> ask(const Ledger& ledger, TaskKind kind, TaskStage stage,
                                TaskRandom& random) {
    std::optional<TaskQuestion> question = Asker(ledger, stage, random).ask(kind);
    if (question) question->kind = kind;
    return question;
}

}  // namespace spolia
