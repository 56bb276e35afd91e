#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

#include "index/result.h"

namespace spolia {

// The program of that name: the path itself where it has a slash, else from PATH and where system
// programs are. Empty when it is nowhere.
std::filesystem::path find_program(const std::string& name);

// Starts a program whose output nobody sees; one without a slash in its name is looked for in PATH.
// The caller waits for it. -1 when it can't be started.
pid_t spawn_silent(const std::vector<std::string>& command);

// Runs a program to its end; gives what it wrote to both of its outputs. Fails when it can't be
// started, exits with another status than 0, or writes more than a megabyte.
Result<std::string> run_captured(const std::vector<std::string>& command);

// The words with blanks between them, the first one without its folder: for reports.
std::string command_line(const std::vector<std::string>& command);

}  // namespace spolia
