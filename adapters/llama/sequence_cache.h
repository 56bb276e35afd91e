#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "adapters/llama/dense_batches.h"
#include "adapters/llama/kv_tensors.h"
#include "adapters/llama/state_blob.h"
#include "index/result.h"
#include "index/token.h"
#include "reuse/engine.h"
#include "reuse/rope.h"

struct llama_context;

namespace spolia {

// |ours - theirs|^2 / |theirs|^2 of half floats; infinite where that is not a number, so that it
// exceeds every bound.
double relative_error(std::span<const uint16_t> ours, std::span<const uint16_t> theirs);

// The rows of the sequences of a llama context: what prefill, capture and decode share. Sequence s
// holds positions 0 .. n_rows(s) - 1, and row r stands in cell r of its stream.
class SequenceCache {
public:
    SequenceCache(llama_context* context, const KvLayout& layout, int32_t n_sequences,
                  int32_t n_cells, int32_t n_vocab);

    // Decodes a few tokens and checks the layout of the KV tensors and the form of states against
    // each other. Leaves all sequences empty. `seen` was the context's evaluation callback.
    Status probe(KvTensors* seen, std::span<const Token> tokens);

    const KvLayout& layout() const { return layout_; }
    const KvTensors& tensors() const { return *tensors_; }
    llama_context* context() const { return context_; }
    int32_t n_cells() const { return n_cells_; }
    int32_t n_tile_rows() const { return batches_.tile_rows(); }  // see EngineLimits
    int32_t n_rows(int32_t sequence) const { return n_rows_[static_cast<size_t>(sequence)]; }
    // One slab a layer.
    std::vector<KvSlab> slabs(int32_t sequence) const;

    void truncate(int32_t sequence, int32_t n_rows);

    // Appends rows by llama_decode, in batches with `tick` in between; logits() afterwards are
    // those of the last row. On failure the sequence is empty.
    Status append(int32_t sequence, std::span<const Token> tokens, const PrefillTick& tick);
    // Computes `tokens` at positions first_position .. in an empty sequence, whose cells 0 .. they
    // take: for checks only, since the sequence does not start at position 0 then.
    Status compute_at(int32_t sequence, std::span<const Token> tokens, int32_t first_position);
    // One row each for several sequences. On failure all of them are as they were.
    Status decode(std::span<const DecodeItem> items);

    std::span<float> logits(int32_t sequence) { return logits_[static_cast<size_t>(sequence)]; }
    std::span<const float> logits(int32_t sequence) const {
        return logits_[static_cast<size_t>(sequence)];
    }

    // Puts the first n_rows rows in place: n_keep that the sequence holds already, then `blocks`
    // rotated to their positions, zeros where there is no block. n_rows > n_keep.
    Status place(int32_t sequence, int32_t n_rows, int32_t n_keep,
                 std::span<const PlacedBlock> blocks, const RopeSpec& rope);
    const StateBlob& staging() const { return staging_; }

private:
    // llama_decode of rows from `position` on, behind those held, in batches with `tick` in
    // between.
    Status compute(int32_t sequence, std::span<const Token> tokens, int32_t position,
                   const PrefillTick& tick);
    Status compare_state(std::span<const Token> tokens);
    Status compare_handover(int32_t sequence, std::span<const Token> tokens);
    // Makes the sequence hold the staged rows.
    Status hand_over(int32_t sequence);
    void stage_layer(int32_t layer, int32_t sequence, int32_t n_keep,
                     std::span<const PlacedBlock> blocks);
    // Fails where llama.cpp has none, which models that don't generate text do.
    Status keep_logits(int32_t sequence, int32_t index);

    llama_context* context_;
    KvLayout layout_;
    int32_t n_cells_;
    DenseBatches batches_;
    const KvTensors* tensors_ = nullptr;
    StateBlob staging_;
    std::vector<Rotation> rotations_;  // of the blocks being placed
    std::vector<int32_t> n_rows_;
    std::vector<std::vector<float>> logits_;
};

}  // namespace spolia
