#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace spolia {

// Starts a program whose output nobody sees; one without a slash in its name is looked for in PATH.
// The caller waits for it. -1 when it can't be started.
pid_t spawn_silent(const std::vector<std::string>& command);

}  // namespace spolia
