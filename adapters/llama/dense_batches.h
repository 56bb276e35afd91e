#pragma once

#include <cstdint>

namespace spolia {

// Cuts rows that llama_decode computes into batches, such that a row's bits do not depend on where
// the cuts are, nor on which rows before it were there already. Two things in ggml's CPU kernels
// (v0.5.0) would make them: attention of fewer than 64 rows goes row by row, in other steps and
// several times slower than in tiles of 64, and products of matrices take rows in fours. So cuts
// are at multiples of a tile, and all batches are on the same side of 64 rows; only a prompt that
// is shorter than a tile has a smaller batch, its only one.
class DenseBatches {
public:
    static constexpr int32_t kRowsMin = 8;

    // n_ubatch: rows that the context computes at once, kRowsMin or more.
    explicit DenseBatches(int32_t n_ubatch);

    int32_t tile_rows() const { return tile_; }
    // Rows of the batch that starts at `position`, of n that are left.
    int32_t size(int32_t position, int32_t n) const;

private:
    int32_t rows_max_;
    int32_t tile_;  // a power of two from 4 to 64, at most half of rows_max_
};

}  // namespace spolia
