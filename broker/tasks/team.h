#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "index/result.h"

namespace spolia {

// What a team of agents works on. All of them read the same notes and all messages of those before
// them, each behind a note of its own.
enum class TeamKind {
    kRelay,   // the first one's note has a fact that every later message leads back to
    kLedger,  // each message changes what the notes said
    kDebate,  // two answer, one of them wrongly, and a judge decides
};
inline constexpr std::array kTeamKinds = {TeamKind::kRelay, TeamKind::kLedger, TeamKind::kDebate};
std::string_view to_string(TeamKind kind);
std::optional<TeamKind> team_kind_from(std::string_view text);

// One agent: what only it reads, what it is asked, and what it tells the others.
struct TeamAgent {
    std::string note;
    // kAnswerMark stands for what agents answered: kAnswerMark + '0' is the first one's answer.
    std::string question;
    std::string answer;   // the right one
    std::string message;  // for all agents behind it; empty: none
    bool judge = false;
};
inline constexpr char kAnswerMark = '$';

struct TeamTask {
    TeamKind kind = TeamKind::kRelay;
    std::vector<std::string> notes;  // that all of them read
    std::vector<TeamAgent> agents;
};

struct TeamOptions {
    int32_t n_agents = 4;            // 2 to 5
    int32_t n_notes = 3;             // that all of them read
    int32_t sentences_per_note = 4;  // also of a message
    uint64_t seed = 1;
};

// The task of a number; the same options give the same tasks everywhere. Fails where the options
// ask for more ships than have names.
Result<TeamTask> make_team_task(const TeamOptions& options, TeamKind kind, uint64_t number);

// The text with every mark replaced by that agent's answer.
std::string with_answers(const std::string& text, const std::vector<std::string>& answers);

}  // namespace spolia
