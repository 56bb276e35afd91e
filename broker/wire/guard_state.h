#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/guard/guard.h"
#include "broker/wire/json.h"
#include "index/fingerprint.h"
#include "index/result.h"

namespace spolia {

// What the guard knows of a model, as JSON: {"version", "model", "budget", "checksum" of "rungs" as
// it stands here, "rungs": [{"label", "demoted", "demotions", "samples": [[risk, doubt, kl,
// same_first, prompt]]}]}. Rungs are found by their labels, so that settings which nobody asks for
// any more do no harm. `budget` is the guard's default one.
std::string guard_state_json(const Key128& model, const GuardBudget& budget,
                             const std::vector<RungRecord>& rungs);

// kCorrupt: damaged, of another model, or of another version of the format or of the selectors. The
// message goes behind the file's name.
// Where the file's budget is not `budget`, dearer rungs are left out: other requests reach them.
Result<std::vector<RungRecord>> parse_guard_state(std::string_view text, const Key128& model,
                                                  const GuardBudget& budget);

// For people: "serves" is null where the rung serves nothing, and limits that are null are none.
Json rung_state_json(const RungState& rung);

}  // namespace spolia
