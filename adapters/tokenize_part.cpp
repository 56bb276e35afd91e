#include "adapters/tokenize_part.h"

#include <algorithm>
#include <string>
#include <utility>

namespace spolia {

Result<TokenizedPart> tokenize_part(const TextModel& model, std::string_view part) {
    constexpr uint32_t kLineBreakBytes = 1;
    const Result<TokenizedText> alone = model.tokenize(part, false, false);
    if (!alone) return alone.error();
    Result<TokenizedText> inside = model.tokenize("\n" + std::string(part), false, false);
    if (!inside) return std::move(inside).error();
    if (!has_usable_offsets(*inside)) {
        return Error{ErrorCode::kUnsupported,
                     "this model's tokens do not add up to the text, so that it would not be found "
                     "in a prompt"};
    }
    const auto differ = std::mismatch(inside->tokens.rbegin(), inside->tokens.rend(),
                                      alone->tokens.rbegin(), alone->tokens.rend());
    const auto first_same = static_cast<size_t>(inside->tokens.rend() - differ.first);
    const TextRange settled{std::max(kLineBreakBytes, inside->byte_begin[first_same]),
                            static_cast<uint32_t>(inside->text.size())};
    return TokenizedPart{std::move(inside).value(), settled};
}

}  // namespace spolia
