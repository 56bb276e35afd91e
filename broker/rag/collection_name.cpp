#include "broker/rag/collection_name.h"

#include <algorithm>
#include <cstddef>

#include "index/lines.h"

namespace spolia {
namespace {

constexpr size_t kNameBytesMax = 64;

bool in_name(char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.'; }

}  // namespace

Status check_collection_name(std::string_view name) {
    const bool good = !name.empty() && name.size() <= kNameBytesMax && name.front() != '.' &&
                      std::ranges::all_of(name, in_name);
    if (good) return {};
    return invalid(
        "a collection's name has 1 to 64 letters, digits and -_. and does not start with a dot");
}

}  // namespace spolia
