#include "adapters/llama/token_offsets.h"

#include <llama.h>

#include "index/lines.h"

namespace spolia {
namespace {

// U+2581, by which SentencePiece writes a space.
constexpr std::string_view kSpaceMarker = "\xe2\x96\x81";

// Walks through a text by the pieces of its tokens.
class TextCursor {
public:
    explicit TextCursor(std::string_view text) : text_(text) {}

    // A space that the text doesn't have may come next.
    void expect_prefix() { at_.prefix = true; }

    void skip_space() {
        while (at_.position < text_.size() && is_space(text_[at_.position])) ++at_.position;
    }

    // Moves behind `piece`; false, and the cursor stays, where the text reads otherwise.
    bool take(std::string_view piece) {
        if (advance(piece)) return true;
        if (!at_.prefix || at_.marker_bytes > 0) return false;
        at_.prefix = false;
        return advance(piece);
    }

    uint32_t position() const { return static_cast<uint32_t>(at_.position); }
    bool at_end() const { return at_.position == text_.size() && at_.marker_bytes == 0; }

private:
    struct State {
        size_t position = 0;
        bool prefix = false;      // the next byte is the space that the tokenizer put there
        size_t marker_bytes = 0;  // taken of the marker that stands for the next byte, a space
    };

    bool advance(std::string_view piece) {
        State next = at_;
        while (!piece.empty()) {
            if (!step(next, piece)) return false;
        }
        at_ = next;
        return true;
    }

    bool step(State& state, std::string_view& piece) const {
        if (!state.prefix && state.position == text_.size()) return false;
        const char wanted = state.prefix ? ' ' : text_[state.position];
        const char got = piece.front();
        if (state.marker_bytes > 0 || (wanted == ' ' && got == kSpaceMarker.front())) {
            if (got != kSpaceMarker[state.marker_bytes]) return false;
            piece.remove_prefix(1);
            if (++state.marker_bytes < kSpaceMarker.size()) return true;
            state.marker_bytes = 0;
            pass_byte(state);
            return true;
        }
        if (got == wanted) {
            piece.remove_prefix(1);
            pass_byte(state);
            return true;
        }
        // The vocabulary can't tell a marker in the text from a space.
        if (got == ' ' && text_.substr(state.position).starts_with(kSpaceMarker)) {
            piece.remove_prefix(1);
            state.position += kSpaceMarker.size();
            return true;
        }
        return false;
    }

    static void pass_byte(State& state) {
        if (state.prefix) {
            state.prefix = false;
        } else {
            ++state.position;
        }
    }

    std::string_view text_;
    State at_;
};

}  // namespace

void append_piece(const llama_vocab* vocab, Token token, bool special, std::string& out) {
    if (token < 0 || token >= llama_vocab_n_tokens(vocab)) return;
    char buffer[64];
    const int32_t n_bytes =
        llama_token_to_piece(vocab, token, buffer, sizeof(buffer), /*lstrip=*/0, special);
    if (n_bytes >= 0) {
        out.append(buffer, static_cast<size_t>(n_bytes));
        return;
    }
    const size_t begin = out.size();
    out.resize(begin + static_cast<size_t>(-n_bytes));
    llama_token_to_piece(vocab, token, out.data() + begin, -n_bytes, /*lstrip=*/0, special);
}

bool is_special(const llama_vocab* vocab, Token token) {
    constexpr int kSpecial =
        LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED | LLAMA_TOKEN_ATTR_UNKNOWN;
    return (llama_vocab_get_attr(vocab, token) & kSpecial) != 0;
}

std::vector<uint32_t> token_offsets(const llama_vocab* vocab, std::string_view text,
                                    std::span<const Token> tokens, const OffsetRules& rules) {
    std::vector<uint32_t> byte_begin;
    byte_begin.reserve(tokens.size() + 1);
    TextCursor cursor(text);
    if (rules.space_prefix) cursor.expect_prefix();
    std::string piece;
    for (size_t i = 0; i < tokens.size(); ++i) {
        byte_begin.push_back(cursor.position());
        const bool added =
            (rules.bos_added && i == 0) || (rules.eos_added && i + 1 == tokens.size());
        if (added) continue;
        const int attributes = llama_vocab_get_attr(vocab, tokens[i]);
        if (attributes & LLAMA_TOKEN_ATTR_LSTRIP) cursor.skip_space();
        piece.clear();
        append_piece(vocab, tokens[i], /*special=*/true, piece);
        if (!cursor.take(piece)) return {};
        if (attributes & LLAMA_TOKEN_ATTR_RSTRIP) cursor.skip_space();
        if (rules.space_prefix && is_special(vocab, tokens[i])) cursor.expect_prefix();
    }
    if (!cursor.at_end()) return {};
    byte_begin.push_back(cursor.position());
    return byte_begin;
}

}  // namespace spolia
