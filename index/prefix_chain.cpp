#include "index/prefix_chain.h"

namespace spolia {

std::vector<Key128> prefix_chain(const KeyScope& scope, std::span<const Token> tokens) {
    std::vector<Key128> keys;
    keys.reserve(tokens.size() / kPrefixPageRows);
    Key128 previous;
    while (tokens.size() >= kPrefixPageRows) {
        previous = chain_key(scope, previous, tokens.first(kPrefixPageRows));
        keys.push_back(previous);
        tokens = tokens.subspan(kPrefixPageRows);
    }
    return keys;
}

}  // namespace spolia
