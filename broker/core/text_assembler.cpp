#include "broker/core/text_assembler.h"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <utility>

namespace spolia {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Length of the sequence that `lead` begins; 0 where no sequence begins with it.
size_t sequence_length(uint8_t lead) {
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) return 3;
    if (lead >= 0xF0 && lead <= 0xF4) return 4;
    return 0;
}

// Whether `byte` may follow behind `lead` at `index`. The second byte's range excludes overlong
// forms, surrogates, and what is beyond U+10FFFF (Unicode, table 3-7).
bool continues(uint8_t lead, size_t index, uint8_t byte) {
    uint8_t low = 0x80;
    uint8_t high = 0xBF;
    if (index == 1) {
        if (lead == 0xE0) low = 0xA0;
        if (lead == 0xED) high = 0x9F;
        if (lead == 0xF0) low = 0x90;
        if (lead == 0xF4) high = 0x8F;
    }
    return byte >= low && byte <= high;
}

}  // namespace

void Utf8Assembler::push(std::string_view bytes, std::string& out) {
    for (const char c : bytes) {
        const auto byte = static_cast<uint8_t>(c);
        if (!pending_.empty()) {
            const auto lead = static_cast<uint8_t>(pending_.front());
            if (continues(lead, pending_.size(), byte)) {
                pending_.push_back(c);
                if (pending_.size() == sequence_length(lead)) {
                    out += pending_;
                    pending_.clear();
                }
                continue;
            }
            out += kReplacement;
            pending_.clear();
        }
        switch (sequence_length(byte)) {
            case 0: out += kReplacement; break;
            case 1: out.push_back(c); break;
            default: pending_.push_back(c); break;
        }
    }
}

void Utf8Assembler::finish(std::string& out) {
    if (!pending_.empty()) out += kReplacement;
    pending_.clear();
}

TextAssembler::TextAssembler(std::vector<std::string> stops) : stops_(std::move(stops)) {
    std::erase(stops_, std::string());
}

std::string TextAssembler::push(std::string_view piece) {
    assert(!stopped());
    std::string text;
    utf8_.push(piece, text);
    if (stops_.empty()) return text;
    // Byte by byte, so that the stop string that is complete first ends the text, however the text
    // is cut into pieces. Whole characters go in, and stop strings are made of whole characters, so
    // whole characters come out.
    std::string certain;
    for (const char c : text) {
        held_.push_back(c);
        certain += take_certain();
        if (stopped()) break;
    }
    return certain;
}

std::string TextAssembler::finish() {
    if (stopped()) return {};
    utf8_.finish(held_);
    return std::exchange(held_, {});
}

std::string TextAssembler::take_certain() {
    for (const std::string& stop : stops_) {
        if (held_.ends_with(stop) && stop.size() > stop_word_.size()) stop_word_ = stop;
    }
    if (stopped()) {
        held_.resize(held_.size() - stop_word_.size());
        return std::exchange(held_, {});
    }
    size_t kept = 0;
    for (const std::string& stop : stops_) {
        for (size_t n = std::min(stop.size() - 1, held_.size()); n > kept; --n) {
            if (held_.ends_with(std::string_view(stop).substr(0, n))) kept = n;
        }
    }
    const size_t certain_bytes = held_.size() - kept;
    std::string certain = held_.substr(0, certain_bytes);
    held_.erase(0, certain_bytes);
    return certain;
}

}  // namespace spolia
