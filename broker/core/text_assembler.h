#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace spolia {

// Makes valid UTF-8 of a stream of bytes that is cut anywhere. A sequence that may still be
// completed is held back; what can't be UTF-8 becomes U+FFFD, one for each maximal invalid part.
class Utf8Assembler {
public:
    // Appends to `out` what `bytes` completes.
    void push(std::string_view bytes, std::string& out);
    // The end of the stream: a sequence cut short becomes U+FFFD.
    void finish(std::string& out);

private:
    std::string pending_;  // the valid start of one sequence, at most 3 bytes
};

// Turns the pieces of generated tokens into text that can be shown: valid UTF-8 up to the first
// stop string, which may stretch over any number of pieces. Text that may be the start of a stop
// string is held back until it is known not to be.
class TextAssembler {
public:
    // Empty stop strings are ignored.
    explicit TextAssembler(std::vector<std::string> stops);

    // Returns the text that is certain now. Must not be called once stopped().
    std::string push(std::string_view piece);
    // The end of the generation: returns everything held back.
    std::string finish();

    bool stopped() const { return !stop_word_.empty(); }
    const std::string& stop_word() const { return stop_word_; }

private:
    std::string take_certain();

    std::vector<std::string> stops_;
    std::string stop_word_;
    Utf8Assembler utf8_;
    std::string held_;
};

}  // namespace spolia
