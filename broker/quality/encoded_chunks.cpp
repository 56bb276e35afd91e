#include "broker/quality/encoded_chunks.h"

#include <algorithm>
#include <utility>

namespace spolia {
namespace {

constexpr size_t kBytesMax = size_t{2} << 30;

}  // namespace

void EncodedChunks::begin_prompt() {
    if (bytes_ <= kBytesMax) return;
    blocks_.clear();
    bytes_ = 0;
}

Result<const KvBlock*> EncodedChunks::block(const Key128& key, std::span<const Token> tokens) {
    std::unique_ptr<KvBlock>& block = blocks_[key];
    if (!block || !std::ranges::equal(block->meta().tokens, tokens)) {
        Result<std::unique_ptr<KvBlock>> encoded = engine_.encode_isolated(key, tokens, {});
        if (!encoded) return std::move(encoded).error();
        block = std::move(encoded).value();
        bytes_ += block->bytes_total();
    }
    return block.get();
}

}  // namespace spolia
