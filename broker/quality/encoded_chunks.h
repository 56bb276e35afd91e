#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <unordered_map>

#include "index/fingerprint.h"
#include "index/result.h"
#include "index/token.h"
#include "reuse/block.h"
#include "reuse/engine.h"

namespace spolia {

// Chunks encoded alone, each when it is first asked for. They stay for the prompts that follow,
// within a bound. One thread.
class EncodedChunks {
public:
    explicit EncodedChunks(Engine& engine) : engine_(engine) {}

    // A prompt begins: beyond the bound all blocks are dropped, also those that were handed out.
    // The blocks of one prompt may exceed it.
    void begin_prompt();
    // Borrowed until the next prompt.
    Result<const KvBlock*> block(const Key128& key, std::span<const Token> tokens);

private:
    Engine& engine_;
    std::unordered_map<Key128, std::unique_ptr<KvBlock>, Key128Hash> blocks_;
    size_t bytes_ = 0;
};

}  // namespace spolia
