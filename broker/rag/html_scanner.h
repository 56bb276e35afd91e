#pragma once

#include <string_view>

namespace spolia {

// Takes the parts of an HTML text in their order. Names are lower case, and live as long as the
// call.
class HtmlEvents {
public:
    virtual ~HtmlEvents() = default;
    virtual void on_text(std::string_view text) = 0;  // entities not decoded
    virtual void on_open(std::string_view name) = 0;
    virtual void on_close(std::string_view name) = 0;
};

// Reads any bytes as HTML, in time linear in their number and without memory of its own: it makes
// no tree, so that no depth of nesting can cost anything. Comments, attributes and what is in
// script, style and other elements that hold no HTML are left out; an element's end that is missing
// is not made up.
void scan_html(std::string_view html, HtmlEvents& events);

}  // namespace spolia
