#pragma once

#include <string>

namespace spolia {

// `spolia doctor --prefix LOG`: says of each request of a log which bytes kept its prompt from
// beginning as an earlier one. `format` is text or json. Gives the exit code.
int doctor_prefix(const std::string& log, const std::string& format);

}  // namespace spolia
