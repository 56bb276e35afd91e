#include "adapters/openai/prompt_blocks.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "adapters/openai/prompt_pieces.h"

namespace spolia {
namespace {

// Never part of UTF-8: where a piece begins can't be mistaken.
constexpr char kPieceMark = '\xFF';

// Keys of the blocks of bytes that come in pieces of any length.
class BlockChain {
public:
    BlockChain(const PromptBlockOptions& options, const Key128& salt)
        : options_(options), previous_(salt) {
        block_.reserve(sizeof(Key128) + options.block_bytes);
        begin_block();
    }

    bool full() const { return keys_.size() >= options_.blocks_max; }

    void add(std::string_view bytes) {
        while (!bytes.empty() && !full()) {
            const size_t room = sizeof(Key128) + options_.block_bytes - block_.size();
            block_ += bytes.substr(0, room);
            bytes.remove_prefix(std::min(room, bytes.size()));
            if (block_.size() == sizeof(Key128) + options_.block_bytes) end_block();
        }
    }

    std::vector<Key128> finish() {
        if (block_.size() > sizeof(Key128) && !full()) end_block();
        return std::move(keys_);
    }

private:
    void begin_block() {
        block_.resize(sizeof(Key128));
        std::memcpy(block_.data(), &previous_, sizeof(Key128));
    }
    void end_block() {
        previous_ = hash_text(block_);
        keys_.push_back(previous_);
        begin_block();
    }

    const PromptBlockOptions& options_;
    Key128 previous_;
    std::string block_;  // the key before it, then its bytes
    std::vector<Key128> keys_;
};

}  // namespace

std::vector<Key128> prompt_blocks(std::string_view body, ByteRange root, std::string_view tenant,
                                  const PromptBlockOptions& options) {
    BlockChain chain(options, hash_text("prompt blocks of " + std::string(tenant)));
    std::string text;
    for (const PromptPiece& piece : prompt_pieces(body, root)) {
        if (chain.full()) break;
        text.assign({kPieceMark, static_cast<char>('A' + static_cast<int>(piece.kind))});
        append_piece_text(body, piece, text);
        chain.add(text);
    }
    return chain.finish();
}

}  // namespace spolia
