#include "broker/quality/svg.h"

#include <cstdio>

namespace spolia {

std::string xml_escaped(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&': escaped += "&amp;"; break;
            case '<': escaped += "&lt;"; break;
            case '>': escaped += "&gt;"; break;
            case '"': escaped += "&quot;"; break;
            default: escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
        }
    }
    return escaped;
}

std::string svg_number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value);
    std::string number = text;
    number.erase(number.find_last_not_of('0') + 1);
    if (number.ends_with('.')) number.pop_back();
    return number;
}

SvgWriter::SvgWriter(double width, double height) {
    const std::string box = "0 0 " + svg_number(width) + " " + svg_number(height);
    open("svg", {{"xmlns", "http://www.w3.org/2000/svg"},
                 {"width", svg_number(width)},
                 {"height", svg_number(height)},
                 {"viewBox", box},
                 {"font-family", "Helvetica, Arial, sans-serif"}});
}

void SvgWriter::begin_tag(std::string_view tag, const Attributes& attributes) {
    svg_ += '<';
    svg_ += tag;
    for (const auto& [name, value] : attributes) {
        svg_ += ' ';
        svg_ += name;
        svg_ += "=\"" + xml_escaped(value) + "\"";
    }
}

void SvgWriter::open(std::string_view tag, const Attributes& attributes) {
    begin_tag(tag, attributes);
    svg_ += ">\n";
}

void SvgWriter::close(std::string_view tag) {
    svg_ += "</";
    svg_ += tag;
    svg_ += ">\n";
}

void SvgWriter::element(std::string_view tag, const Attributes& attributes) {
    begin_tag(tag, attributes);
    svg_ += "/>\n";
}

void SvgWriter::text(std::string_view content, const Attributes& attributes) {
    begin_tag("text", attributes);
    svg_ += ">" + xml_escaped(content) + "</text>\n";
}

void SvgWriter::title(std::string_view content) {
    svg_ += "<title>" + xml_escaped(content) + "</title>\n";
}

std::string SvgWriter::finish() {
    close("svg");
    return std::move(svg_);
}

}  // namespace spolia
