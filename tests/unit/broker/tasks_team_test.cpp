#include "broker/tasks/team.h"

#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace spolia {
namespace {

// Reads notes as a person would: what holds of each ship at the end.
class Reader {
public:
    void read(const std::string& note) {
        std::istringstream words(note);
        std::vector<std::string> sentence;
        for (std::string word; words >> word;) {
            const bool ends = word.back() == '.';
            if (ends) word.pop_back();
            sentence.push_back(word);
            if (ends) take(std::exchange(sentence, {}));
        }
    }
    std::string cargo_of(const std::string& ship) const {
        const auto found = carries_.find(ship);
        return found == carries_.end() ? std::string() : found->second;
    }
    const std::multiset<std::string>& named() const { return named_; }

private:
    void take(std::vector<std::string> words) {
        if (words.front() == "Note") return;
        if (words.front() == "Now") words.erase(words.begin());
        ASSERT_EQ(words.size(), 3u);
        named_.insert(words[0]);
        carries_[words[0]] = words[1] == "matches" ? cargo_of(words[2]) : words[2];
    }
    std::map<std::string, std::string> carries_;
    std::multiset<std::string> named_;
};

// "What does X carry?", or a judge's question, whose right answer is whose cargo is right.
std::string answer_to(const std::string& question, const Reader& reader) {
    std::istringstream stream(question);
    std::vector<std::string> words{std::istream_iterator<std::string>(stream), {}};
    if (words.front() == "What") return reader.cargo_of(words[2]);
    const std::string of_a = words.at(4).substr(0, words[4].size() - 1);
    return reader.cargo_of(words[2]) == of_a ? "A" : "B";
}

TEST(TeamTasks, AnswersFollowFromWhatTheAgentReads) {
    for (const int32_t n_agents : {2, 3, 4, 5}) {
        for (const TeamKind kind : kTeamKinds) {
            for (uint64_t number = 0; number < 40; ++number) {
                const Result<TeamTask> task = make_team_task({.n_agents = n_agents}, kind, number);
                ASSERT_TRUE(task.ok());
                ASSERT_EQ(task->agents.size(), static_cast<size_t>(n_agents));
                std::vector<std::string> answers, messages;
                for (const TeamAgent& agent : task->agents) {
                    Reader reader;
                    reader.read(agent.note);
                    for (const std::string& note : task->notes) reader.read(note);
                    for (const std::string& message : messages) reader.read(message);
                    ASSERT_EQ(answer_to(with_answers(agent.question, answers), reader),
                              agent.answer)
                        << to_string(kind) << ' ' << number << ' ' << agent.question;
                    answers.push_back(agent.answer);
                    messages.push_back(with_answers(agent.message, answers));
                }
            }
        }
    }
}

TEST(TeamTasks, OnlyTheFirstOfARelayKnowsTheFact) {
    const TeamTask task = make_team_task({.n_agents = 4}, TeamKind::kRelay, 3).value();
    Reader shared;
    for (const std::string& note : task.notes) shared.read(note);
    for (const TeamAgent& agent : task.agents) {
        EXPECT_EQ(answer_to(agent.question, shared), "") << agent.question;
    }
}

TEST(TeamTasks, TheJudgeIsLastAndOnlyInDebates) {
    for (const TeamKind kind : kTeamKinds) {
        const TeamTask task = make_team_task({}, kind, 1).value();
        for (const TeamAgent& agent : task.agents) {
            EXPECT_EQ(agent.judge, kind == TeamKind::kDebate && &agent == &task.agents.back());
        }
    }
}

TEST(TeamTasks, TheSameNumberIsTheSameTask) {
    const TeamTask one = make_team_task({.seed = 4}, TeamKind::kLedger, 9).value();
    EXPECT_EQ(one.notes, make_team_task({.seed = 4}, TeamKind::kLedger, 9).value().notes);
    EXPECT_NE(one.notes, make_team_task({.seed = 4}, TeamKind::kLedger, 10).value().notes);
    EXPECT_NE(one.notes, make_team_task({.seed = 5}, TeamKind::kLedger, 9).value().notes);
}

TEST(TeamTasks, RefuseWhatCanNotBeNamed) {
    EXPECT_FALSE(make_team_task({.n_agents = 1}, TeamKind::kRelay, 0).ok());
    EXPECT_FALSE(make_team_task({.n_agents = 6}, TeamKind::kRelay, 0).ok());
    EXPECT_FALSE(make_team_task({.n_agents = 5, .n_notes = 10, .sentences_per_note = 10},
                                TeamKind::kRelay, 0)
                     .ok());
}

TEST(TeamTasks, FillsAnswersIn) {
    EXPECT_EQ(with_answers("A $1 and $0.", {"tin", "rope"}), "A rope and tin.");
    EXPECT_EQ(team_kind_from("debate"), TeamKind::kDebate);
    EXPECT_FALSE(team_kind_from("war"));
}

}  // namespace
}  // namespace spolia
