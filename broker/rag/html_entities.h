#pragma once

#include <string>
#include <string_view>

namespace spolia {

// Puts characters in place of "&amp;", "&#233;" and "&#xE9;". Names that are not of Latin-1 or in
// common use stay as they are.
std::string decode_html_entities(std::string_view text);

}  // namespace spolia
