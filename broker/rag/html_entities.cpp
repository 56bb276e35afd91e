#include "broker/rag/html_entities.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>
#include <utility>

namespace spolia {
namespace {

// Characters 160 to 255.
constexpr std::string_view kLatin1[] = {
    "nbsp",   "iexcl",  "cent",   "pound",  "curren", "yen",    "brvbar", "sect",   "uml",
    "copy",   "ordf",   "laquo",  "not",    "shy",    "reg",    "macr",   "deg",    "plusmn",
    "sup2",   "sup3",   "acute",  "micro",  "para",   "middot", "cedil",  "sup1",   "ordm",
    "raquo",  "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc",  "Atilde",
    "Auml",   "Aring",  "AElig",  "Ccedil", "Egrave", "Eacute", "Ecirc",  "Euml",   "Igrave",
    "Iacute", "Icirc",  "Iuml",   "ETH",    "Ntilde", "Ograve", "Oacute", "Ocirc",  "Otilde",
    "Ouml",   "times",  "Oslash", "Ugrave", "Uacute", "Ucirc",  "Uuml",   "Yacute", "THORN",
    "szlig",  "agrave", "aacute", "acirc",  "atilde", "auml",   "aring",  "aelig",  "ccedil",
    "egrave", "eacute", "ecirc",  "euml",   "igrave", "iacute", "icirc",  "iuml",   "eth",
    "ntilde", "ograve", "oacute", "ocirc",  "otilde", "ouml",   "divide", "oslash", "ugrave",
    "uacute", "ucirc",  "uuml",   "yacute", "thorn",  "yuml"};
static_assert(std::size(kLatin1) == 96);

constexpr std::pair<std::string_view, uint32_t> kOthers[] = {
    {"amp", '&'},      {"lt", '<'},        {"gt", '>'},        {"quot", '"'},
    {"apos", '\''},    {"hellip", 0x2026}, {"mdash", 0x2014},  {"ndash", 0x2013},
    {"lsquo", 0x2018}, {"rsquo", 0x2019},  {"ldquo", 0x201c},  {"rdquo", 0x201d},
    {"sbquo", 0x201a}, {"bdquo", 0x201e},  {"bull", 0x2022},   {"trade", 0x2122},
    {"euro", 0x20ac},  {"larr", 0x2190},   {"uarr", 0x2191},   {"rarr", 0x2192},
    {"darr", 0x2193},  {"harr", 0x2194},   {"rArr", 0x21d2},   {"le", 0x2264},
    {"ge", 0x2265},    {"ne", 0x2260},     {"asymp", 0x2248},  {"infin", 0x221e},
    {"minus", 0x2212}, {"sum", 0x2211},    {"radic", 0x221a},  {"ensp", ' '},
    {"emsp", ' '},     {"thinsp", ' '},    {"OElig", 0x152},   {"oelig", 0x153},
    {"Scaron", 0x160}, {"scaron", 0x161},  {"dagger", 0x2020}, {"permil", 0x2030},
    {"prime", 0x2032}, {"lsaquo", 0x2039}, {"rsaquo", 0x203a}, {"check", 0x2713},
};

constexpr size_t kNameBytesMax = 12;

void append_utf8(std::string& out, uint32_t code) {
    const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
    const auto rest = [&](int shift) { put(0x80 | (code >> shift & 0x3f)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0 | code >> 6);
        rest(0);
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        rest(6);
        rest(0);
    } else {
        put(0xf0 | code >> 18);
        rest(12);
        rest(6);
        rest(0);
    }
}

uint32_t number_of(std::string_view digits) {
    const bool hex = digits.starts_with('x') || digits.starts_with('X');
    if (hex) digits.remove_prefix(1);
    uint32_t code = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
    const bool number = error == std::errc() && end == digits.data() + digits.size();
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    return !number || code == 0 || surrogate || code > 0x10ffff ? 0xfffd : code;
}

// 0: no such name.
uint32_t character_of(std::string_view name) {
    if (name.starts_with('#')) return number_of(name.substr(1));
    const auto latin = std::ranges::find(kLatin1, name);
    if (latin != std::end(kLatin1)) return 160 + static_cast<uint32_t>(latin - kLatin1);
    for (const auto& [known, code] : kOthers) {
        if (known == name) return code;
    }
    return 0;
}

}  // namespace

std::string decode_html_entities(std::string_view text) {
    std::string decoded;
    decoded.reserve(text.size());
    for (size_t at = 0; at < text.size();) {
        const size_t begin = std::min(text.find('&', at), text.size());
        decoded += text.substr(at, begin - at);
        if (begin == text.size()) break;
        const std::string_view ahead = text.substr(begin + 1, kNameBytesMax);
        const size_t end = ahead.find(';');
        const uint32_t code = end == ahead.npos ? 0 : character_of(ahead.substr(0, end));
        if (code == 0) {
            decoded += '&';
            at = begin + 1;
        } else {
            append_utf8(decoded, code == 160 ? ' ' : code);
            at = begin + end + 2;
        }
    }
    return decoded;
}

}  // namespace spolia
