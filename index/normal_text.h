#pragma once

#include <string>
#include <string_view>

namespace spolia {

// The text with all that is written alike made alike: Unicode's composed form (NFC), cases folded.
// Bytes that are not UTF-8 become U+FFFD each. Characters that come together over more than 16 KiB
// without white space may stay apart.
std::string normal_text(std::string_view text);

}  // namespace spolia
