#pragma once

#include <cstddef>
#include <string_view>

namespace spolia {

// Whether something that changes with every request stands around a byte of a text: a date or a
// time of day, or a number that counts seconds or milliseconds since 1970.
bool timestamp_at(std::string_view text, size_t at);

// The same of an identifier without meaning: a UUID, or at least 8 letters and digits, mixed or
// hexadecimal.
bool random_id_at(std::string_view text, size_t at);

}  // namespace spolia
