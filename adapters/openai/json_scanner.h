#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace spolia {

// Reads one JSON value strictly, and keeps nothing but how far it came.
class JsonScanner {
public:
    JsonScanner(std::string_view text, size_t begin, int32_t depth_max)
        : text_(text), at_(begin), depth_left_(depth_max) {}

    // Each is false where the text is bad; reason() then says why, and at() where.
    bool value();
    void white_space();

    size_t at() const { return at_; }
    const char* reason() const { return reason_; }

private:
    bool fail(const char* reason);
    char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool take(char c);
    bool word(std::string_view word);
    bool container(char close);
    bool member_key();
    bool string();
    bool escape();
    bool hex4(uint32_t& code);
    bool multibyte();
    bool digits();
    bool number();

    std::string_view text_;
    size_t at_;
    int32_t depth_left_;
    const char* reason_ = "";
};

}  // namespace spolia
