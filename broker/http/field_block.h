#pragma once

#include <string>
#include <string_view>

namespace spolia {

// Header fields as HTTP/1.1 writes them, "Name: value\r\n" one after the other, in one string.
// Names compare without case. Bytes that would end a line are not looked for: names and values come
// from a parser or from us.

bool same_field_name(std::string_view a, std::string_view b);

void append_field(std::string& block, std::string_view name, std::string_view value);

// The first field's value of that name; empty when there is none.
std::string_view field_value(std::string_view block, std::string_view name);
bool has_field(std::string_view block, std::string_view name);

void erase_field(std::string& block, std::string_view name);
// Erases the fields that a Connection field's value names: they end at the next hop.
void erase_fields_named_by(std::string& block, std::string_view connection);

}  // namespace spolia
