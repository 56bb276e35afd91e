#include "broker/tasks/team.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "broker/tasks/phrases.h"
#include "broker/tasks/random.h"
#include "broker/tasks/words.h"

namespace spolia {
namespace {

std::string answer_of(size_t agent) { return {kAnswerMark, static_cast<char>('0' + agent)}; }

// Draws names without repeating any.
class TeamWriter {
public:
    TeamWriter(const TeamOptions& options, TeamKind kind, uint64_t number)
        : options_(options),
          random_(mix_seed(mix_seed(options.seed, static_cast<uint64_t>(kind)), number)),
          ships_(shuffled(ship_names().size())),
          labels_(shuffled(note_labels().size())),
          cargos_(shuffled(cargo_words().size())) {
        task_.kind = kind;
    }

    TeamTask write() {
        switch (task_.kind) {
            case TeamKind::kRelay: write_relay(); break;
            case TeamKind::kLedger: write_ledger(); break;
            case TeamKind::kDebate: write_debate(); break;
        }
        return std::move(task_);
    }

private:
    std::vector<int32_t> shuffled(size_t n) {
        std::vector<int32_t> numbers(n);
        std::iota(numbers.begin(), numbers.end(), 0);
        random_.shuffle(std::span(numbers));
        return numbers;
    }
    static int32_t take(std::vector<int32_t>& from) {
        const int32_t last = from.back();
        from.pop_back();
        return last;
    }
    std::string ship() { return ship_text(take(ships_)); }
    // Of a ship that is asked about: no other one asked about has it.
    std::string cargo() { return cargo_text(take(cargos_)); }
    std::string any_cargo() { return cargo_text(cargos_[random_.below(cargos_.size())]); }
    static std::string carries(const std::string& ship, const std::string& cargo) {
        return ship + " carries " + cargo + '.';
    }
    static std::string asks(const std::string& ship) { return "What does " + ship + " carry?"; }

    // A note with these sentences among others that nobody asks about.
    std::string note(std::vector<std::string> sentences) {
        while (std::ssize(sentences) < options_.sentences_per_note) {
            const auto at = static_cast<std::ptrdiff_t>(random_.below(sentences.size() + 1));
            sentences.insert(sentences.begin() + at, carries(ship(), any_cargo()));
        }
        std::string text =
            "Note " + std::string(note_labels()[static_cast<size_t>(take(labels_))]) + '.';
        for (const std::string& sentence : sentences) text += ' ' + sentence;
        return text;
    }
    void add_notes(std::vector<std::vector<std::string>> said) {
        said.resize(static_cast<size_t>(options_.n_notes));
        random_.shuffle(std::span(said));
        for (std::vector<std::string>& sentences : said) {
            task_.notes.push_back(note(std::move(sentences)));
        }
    }
    size_t n_agents() const { return static_cast<size_t>(options_.n_agents); }

    // Only the first agent knows what its ship carries. Of three ships a message each one names the
    // one before, so later agents have up to three sentences to follow.
    void write_relay() {
        add_notes({});
        const std::string fact = cargo();
        std::string last = ship();
        task_.agents.push_back({.note = note({carries(last, fact)}),
                                .question = asks(last),
                                .answer = fact,
                                .message = {}});
        std::string told = ship();
        task_.agents.back().message = note({carries(told, answer_of(0))});
        for (size_t i = 1; i < n_agents(); ++i) {
            // Further back than a model of this size follows, the chain starts again.
            const bool again = i % 3 == 0;
            last = told;
            task_.agents.push_back(
                {.note = note({}), .question = asks(last), .answer = fact, .message = {}});
            told = ship();
            task_.agents.back().message =
                note({again ? carries(told, answer_of(i)) : told + " matches " + last + '.'});
        }
    }

    // Each agent knows a cargo from the notes and tells that another ship carries it now.
    void write_ledger() {
        std::vector<std::string> known, changed;
        std::vector<std::string> cargos;
        std::vector<std::vector<std::string>> said(static_cast<size_t>(options_.n_notes));
        for (size_t i = 0; i < n_agents(); ++i) {
            known.push_back(ship());
            changed.push_back(ship());
            cargos.push_back(cargo());
            said[random_.below(said.size())].push_back(carries(known[i], cargos[i]));
            said[random_.below(said.size())].push_back(carries(changed[i], any_cargo()));
        }
        add_notes(std::move(said));
        for (size_t i = 0; i < n_agents(); ++i) {
            // The first has nobody to learn from.
            const size_t asked = i == 0 ? 0 : i - 1;
            task_.agents.push_back({.note = note({}),
                                    .question = asks(i == 0 ? known[0] : changed[asked]),
                                    .answer = cargos[asked],
                                    .message = note({"Now " + changed[i] + " carries " +
                                                     (i == 0 ? answer_of(0) : cargos[i]) + '.'})});
        }
    }

    // All but the judge answer the same question; what they say is in the judge's.
    void write_debate() {
        const std::string named = ship(), asked = ship(), right = cargo(), wrong = cargo();
        std::vector<std::vector<std::string>> said(static_cast<size_t>(options_.n_notes));
        said.front().push_back(carries(named, right));
        said.back().push_back(carries(ship(), wrong));
        for (std::vector<std::string>& sentences : said) task_.notes.push_back(note(sentences));
        for (size_t i = 0; i + 1 < n_agents(); ++i) {
            task_.agents.push_back({.note = note({}),
                                    .question = asks(i == 0 ? named : asked),
                                    .answer = right,
                                    .message = note({i == 0 ? asked + " matches " + named + '.'
                                                            : carries(ship(), any_cargo())})});
        }
        const bool swapped = random_.chance(50);
        const std::string says = " says " + asked + " carries ";
        const std::string told = answer_of(n_agents() - 2);
        task_.agents.push_back({.note = note({}),
                                .question = 'A' + says + (swapped ? wrong : told) + ". B" + says +
                                            (swapped ? told : wrong) + ". Who is right?",
                                .answer = swapped ? "B" : "A",
                                .message = {},
                                .judge = true});
    }

    const TeamOptions& options_;
    TaskRandom random_;
    TeamTask task_;
    std::vector<int32_t> ships_, labels_, cargos_;  // not yet used
};

}  // namespace

std::string_view to_string(TeamKind kind) {
    switch (kind) {
        case TeamKind::kRelay: return "relay";
        case TeamKind::kLedger: return "ledger";
        case TeamKind::kDebate: return "debate";
    }
    return {};
}

std::optional<TeamKind> team_kind_from(std::string_view text) {
    for (const TeamKind kind : kTeamKinds) {
        if (to_string(kind) == text) return kind;
    }
    return std::nullopt;
}

Result<TeamTask> make_team_task(const TeamOptions& options, TeamKind kind, uint64_t number) {
    if (options.n_agents < 2 || options.n_agents > 5 || options.n_notes < 1 ||
        options.sentences_per_note < 1) {
        return invalid("a team has 2 to 5 agents, at least one note and one sentence a note");
    }
    const auto n_texts = static_cast<size_t>(options.n_notes + 2 * options.n_agents);
    const auto n_sentences = static_cast<size_t>(options.sentences_per_note);
    // Those that the task itself names besides: at most two of each agent.
    const size_t n_ships = n_texts * n_sentences + 2 * static_cast<size_t>(options.n_agents);
    if (n_ships > ship_names().size() || n_texts > note_labels().size()) {
        return invalid("notes and messages of such a team name more ships than there are names (" +
                       std::to_string(ship_names().size()) + "): give fewer or shorter ones");
    }
    return TeamWriter(options, kind, number).write();
}

std::string with_answers(const std::string& text, const std::vector<std::string>& answers) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == kAnswerMark && i + 1 < text.size()) {
            out += answers[static_cast<size_t>(text[++i] - '0')];
        } else {
            out += text[i];
        }
    }
    return out;
}

}  // namespace spolia
