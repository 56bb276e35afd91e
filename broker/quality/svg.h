#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace spolia {

// Text with what XML gives a meaning to written as entities; control characters become spaces.
std::string xml_escaped(std::string_view text);

// Writes an SVG document element by element. Lengths are pixels, with two digits behind the point.
class SvgWriter {
public:
    using Attributes = std::initializer_list<std::pair<std::string_view, std::string>>;

    SvgWriter(double width, double height);

    void open(std::string_view tag, const Attributes& attributes);
    void close(std::string_view tag);
    void element(std::string_view tag, const Attributes& attributes);
    void text(std::string_view content, const Attributes& attributes);
    // A description that viewers show at the pointer; inside of an open element.
    void title(std::string_view content);

    // Ends the document.
    std::string finish();

private:
    void begin_tag(std::string_view tag, const Attributes& attributes);

    std::string svg_;
};

// "12.5", "3"
std::string svg_number(double value);

}  // namespace spolia
