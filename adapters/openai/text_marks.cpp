#include "adapters/openai/text_marks.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace spolia {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }
bool letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool hexadecimal(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }

// The longest run of accepted bytes that holds, or touches, the byte.
template <class Accept>
std::string_view run_at(std::string_view text, size_t at, const Accept& accept) {
    size_t begin = std::min(at, text.size());
    size_t end = begin;
    while (begin > 0 && accept(text[begin - 1])) --begin;
    while (end < text.size() && accept(text[end])) ++end;
    return text.substr(begin, end - begin);
}

// Every digit as 9, so that forms can be searched for.
std::string digits_as_9(std::string_view text) {
    std::string form(text);
    std::replace_if(form.begin(), form.end(), digit, '9');
    return form;
}

bool names_a_month_or_day(std::string_view text) {
    constexpr std::array<std::string_view, 19> kNames = {
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
        "Nov", "Dec", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
    return std::any_of(kNames.begin(), kNames.end(),
                       [&](std::string_view name) { return text.find(name) != text.npos; });
}

}  // namespace

bool timestamp_at(std::string_view text, size_t at) {
    const std::string_view number = run_at(text, at, digit);
    const bool epoch = (number.size() == 10 || number.size() == 13) && number[0] == '1';
    if (epoch) return true;
    const std::string_view stamp = run_at(text, at, [](char c) {
        return digit(c) || std::string_view("-/:.TZ+").find(c) != std::string_view::npos;
    });
    const std::string form = digits_as_9(stamp);
    for (const std::string_view known :
         {"9999-99-99", "9999/99/99", "99.99.9999", "99/99/9999", "99:99"}) {
        if (form.find(known) != form.npos) return true;
    }
    // "Friday, November 20, 2026": words and numbers of one date.
    const std::string_view words =
        run_at(text, at, [](char c) { return digit(c) || letter(c) || c == ' ' || c == ','; });
    const auto offset = static_cast<size_t>(words.data() - text.data());
    const size_t inside = std::min(at, text.size()) - offset;
    const size_t begin = inside > 16 ? inside - 16 : 0;
    const std::string_view near = words.substr(begin, 32);
    return names_a_month_or_day(near) && std::any_of(near.begin(), near.end(), digit);
}

bool random_id_at(std::string_view text, size_t at) {
    const std::string_view id =
        run_at(text, at, [](char c) { return digit(c) || letter(c) || c == '-' || c == '_'; });
    size_t run = 0, digits = 0, letters = 0;
    bool all_hexadecimal = true;
    const auto random = [&] {
        const bool mixed = digits > 0 && letters > 0;
        return run >= 8 && (mixed || (all_hexadecimal && digits > 0));
    };
    for (const char c : id) {
        if (c == '-' || c == '_') {
            if (random()) return true;
            run = digits = letters = 0;
            all_hexadecimal = true;
            continue;
        }
        ++run;
        digits += digit(c);
        letters += letter(c);
        all_hexadecimal = all_hexadecimal && hexadecimal(c);
    }
    return random();
}

}  // namespace spolia
