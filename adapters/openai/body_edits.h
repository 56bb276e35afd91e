#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/openai/json_ranges.h"

namespace spolia {

// Bytes of a body that others take the place of; an empty range inserts.
struct BodyEdit {
    ByteRange range;
    std::string text;
};

// All other bytes stay as they are. Ranges do not overlap; of two that begin at the same byte the
// empty one comes first.
std::string apply_edits(std::string_view body, std::vector<BodyEdit> edits);

// Below, `root` is what json_document() gave for the body, and an object. Each appends what is to
// be done, which may be nothing.

// Takes out the member of a name, however often it is there.
void remove_member(std::string_view body, ByteRange root, std::string_view name,
                   std::vector<BodyEdit>& edits);

// The text of the member `name`, however often it is there; a first member where it is not. `kept`
// tells whether another member stays behind that.
void set_member(std::string_view body, ByteRange root, std::string_view name, std::string_view text,
                bool kept, std::vector<BodyEdit>& edits);

// Tools in the order of their functions' names, as JSON with sorted keys and without white space.
void sort_tools(std::string_view body, ByteRange root, std::vector<BodyEdit>& edits);

// A text part of its own between each two parts of every message's content, unless one of them
// is it already.
void insert_separators(std::string_view body, ByteRange root, std::string_view separator,
                       std::vector<BodyEdit>& edits);

}  // namespace spolia
