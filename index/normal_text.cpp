#include "index/normal_text.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <utf8proc.h>

#include "index/lines.h"

namespace spolia {
namespace {

// The longest piece that is composed at once.
constexpr size_t kPieceBytes = size_t{16} << 10;
constexpr auto kForm =
    static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_CASEFOLD);

class Normalizer {
public:
    explicit Normalizer(std::string_view text) : rest_(text) { out_.reserve(text.size()); }

    // White space composes with nothing, so what stands between two of it is a matter of its own,
    // and most of that is ASCII.
    std::string run() && {
        while (!rest_.empty()) {
            const size_t ascii =
                static_cast<size_t>(std::ranges::find_if_not(rest_, is_ascii) - rest_.begin());
            const size_t word = begin_of_word(ascii);
            for (const char c : rest_.substr(0, word)) out_ += to_lower(c);
            rest_.remove_prefix(word);
            if (!rest_.empty()) compose(take_piece());
        }
        return std::move(out_);
    }

private:
    // Behind the last white space before `at`; `at` itself at the end of the text.
    size_t begin_of_word(size_t at) const {
        if (at == rest_.size()) return at;
        while (at > 0 && !is_space(rest_[at - 1])) --at;
        return at;
    }

    // Up to white space, at most kPieceBytes, and no character in two.
    std::string_view take_piece() {
        auto end = static_cast<size_t>(std::ranges::find_if(rest_, is_space) - rest_.begin());
        if (end > kPieceBytes) {
            end = kPieceBytes;
            while (end > kPieceBytes - 3 && (rest_[end] & 0xc0) == 0x80) --end;
        }
        const std::string_view piece = rest_.substr(0, end);
        rest_.remove_prefix(end);
        return piece;
    }

    void compose(std::string_view piece) {
        utf8proc_ssize_t n = decompose(piece);
        if (n == UTF8PROC_ERROR_INVALIDUTF8) n = decompose(valid(piece));
        if (n < 0) return;
        // In place; zero bytes are put behind the result.
        const utf8proc_ssize_t n_bytes = utf8proc_reencode(codes_.data(), n, kForm);
        if (n_bytes > 0) {
            out_.append(reinterpret_cast<const char*>(codes_.data()), static_cast<size_t>(n_bytes));
        }
    }

    // Into codes_, with room for one more.
    utf8proc_ssize_t decompose(std::string_view piece) {
        for (;;) {
            const auto n_fit = static_cast<utf8proc_ssize_t>(codes_.size()) - 1;
            const utf8proc_ssize_t n = utf8proc_decompose(
                reinterpret_cast<const utf8proc_uint8_t*>(piece.data()),
                static_cast<utf8proc_ssize_t>(piece.size()), codes_.data(), n_fit, kForm);
            if (n <= n_fit) return n;
            codes_.resize(static_cast<size_t>(n) + 1);
        }
    }

    static std::string valid(std::string_view piece) {
        std::string valid;
        while (!piece.empty()) {
            utf8proc_int32_t code = 0;
            const utf8proc_ssize_t n =
                utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(piece.data()),
                                 static_cast<utf8proc_ssize_t>(piece.size()), &code);
            const auto n_bytes = static_cast<size_t>(std::max<utf8proc_ssize_t>(n, 1));
            valid += n > 0 ? piece.substr(0, n_bytes) : "\xef\xbf\xbd";
            piece.remove_prefix(n_bytes);
        }
        return valid;
    }

    std::string_view rest_;
    std::string out_;
    std::vector<utf8proc_int32_t> codes_ = std::vector<utf8proc_int32_t>(256);
};

}  // namespace

std::string normal_text(std::string_view text) { return Normalizer(text).run(); }

}  // namespace spolia
