#include "adapters/llama/token_ids.h"

#include <llama.h>

#include <cstdint>
#include <exception>
#include <string>

namespace spolia {
namespace {

// Far beyond any context; keeps byte offsets in 32 bits and memory in reason.
constexpr size_t kTextBytesMax = size_t{64} << 20;

}  // namespace

Result<std::vector<Token>> token_ids(const llama_vocab* vocab, std::string_view text,
                                     bool add_special, bool parse_special) {
    if (text.size() > kTextBytesMax) {
        return Error{ErrorCode::kInvalidArgument,
                     "the text has " + std::to_string(text.size()) + " bytes; at most " +
                         std::to_string(kTextBytesMax) + " can be tokenized"};
    }
    try {
        const auto n_bytes = static_cast<int32_t>(text.size());
        std::vector<Token> tokens(text.size() + 2);  // with BOS and EOS; seldom too few
        const auto tokenize_into = [&] {
            return llama_tokenize(vocab, text.data(), n_bytes, tokens.data(),
                                  static_cast<int32_t>(tokens.size()), add_special, parse_special);
        };
        int32_t n_tokens = tokenize_into();
        if (n_tokens < 0) {
            tokens.resize(static_cast<size_t>(-int64_t{n_tokens}));
            n_tokens = tokenize_into();
        }
        tokens.resize(static_cast<size_t>(n_tokens));
        return tokens;
    } catch (const std::exception& error) {
        return Error{ErrorCode::kInvalidArgument,
                     std::string("the text can't be tokenized: ") + error.what()};
    }
}

}  // namespace spolia
