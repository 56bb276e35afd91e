#pragma once

#include <cstdint>
#include <string>

namespace spolia::testing {

struct TinyBertShape {
    uint32_t pooling = 1;  // as GGUF names it: 1 mean, 2 CLS, 4 rank
    uint32_t n_ctx = 64;
    uint64_t seed = 1;
};

// Path of a GGUF of BERT's architecture with random weights: two layers, 32 wide, a WordPiece
// vocabulary of letters and a few words. Made once a process.
std::string tiny_bert_path(const TinyBertShape& shape);

}  // namespace spolia::testing
