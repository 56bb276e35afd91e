#include "adapters/llama/sequence_cache.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

#include "adapters/llama/model.h"
#include "llama.h"
#include "reuse/half_float.h"
#include "reuse/rope.h"

namespace spolia {
namespace {

// A llama_batch with room for n tokens.
class Batch {
public:
    explicit Batch(int32_t n) : batch_(llama_batch_init(n, 0, 1)) {}
    ~Batch() { llama_batch_free(batch_); }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

    void add(Token token, int32_t position, int32_t sequence, bool logits) {
        const int32_t i = batch_.n_tokens++;
        batch_.token[i] = token;
        batch_.pos[i] = position;
        batch_.n_seq_id[i] = 1;
        batch_.seq_id[i][0] = sequence;
        batch_.logits[i] = logits;
    }
    const llama_batch& get() const { return batch_; }

private:
    llama_batch batch_;
};

Error decode_error(int32_t code) {
    const std::string why = take_llama_error();
    return {code == 1 ? ErrorCode::kContextTooLong : ErrorCode::kInternal,
            "llama_decode failed with " + std::to_string(code) + (why.empty() ? "" : ": " + why)};
}

Error layout_error(const std::string& what) {
    return {ErrorCode::kUnsupported, "llama.cpp's KV cache is not laid out as expected: " + what};
}

}  // namespace

double relative_error(std::span<const uint16_t> ours, std::span<const uint16_t> theirs) {
    double error = 0.0, norm = 0.0;
    for (size_t i = 0; i < ours.size(); ++i) {
        const double a = half_to_float(ours[i]), b = half_to_float(theirs[i]);
        error += (a - b) * (a - b);
        norm += b * b;
    }
    const double relative = norm > 0.0 ? error / norm : error;
    return std::isnan(relative) ? std::numeric_limits<double>::infinity() : relative;
}

SequenceCache::SequenceCache(llama_context* context, const KvLayout& layout, int32_t n_sequences,
                             int32_t n_cells, int32_t n_vocab)
    : context_(context),
      layout_(layout),
      n_cells_(n_cells),
      batches_(static_cast<int32_t>(llama_n_ubatch(context))),
      staging_(layout, n_sequences),
      n_rows_(static_cast<size_t>(n_sequences)),
      logits_(static_cast<size_t>(n_sequences), std::vector<float>(static_cast<size_t>(n_vocab))) {}

Status SequenceCache::probe(KvTensors* seen, std::span<const Token> tokens) {
    if (Status status = append(0, tokens, nullptr); !status) return status;
    const int32_t n_sequences = static_cast<int32_t>(n_rows_.size());
    if (Status status = seen->complete(layout_, n_sequences, n_cells_); !status) return status;
    tensors_ = seen;
    if (Status status = compare_state(tokens); !status) return status;
    truncate(0, 0);
    return compare_handover(n_sequences - 1, tokens);
}

// Sequence 0 holds `tokens`: its state, as llama.cpp writes it, must have the known form and hold
// the very rows that stand in the KV tensors.
Status SequenceCache::compare_state(std::span<const Token> tokens) {
    std::vector<std::byte> state(llama_state_seq_get_size(context_, 0));
    const size_t written = llama_state_seq_get_data(
        context_, reinterpret_cast<uint8_t*>(state.data()), state.size(), 0);
    state.resize(written);
    const int32_t n = static_cast<int32_t>(tokens.size());
    if (Status status = staging_.parse(state, n); !status) return status;
    std::vector<uint16_t> k(staging_.k(0).size()), v(staging_.v(0).size());
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        tensors_->read(layer, 0, 0, k, v);
        if (!std::ranges::equal(k, staging_.k(layer)) ||
            !std::ranges::equal(v, staging_.v(layer))) {
            return layout_error("layer " + std::to_string(layer) +
                                "'s cells differ from its state");
        }
    }
    return {};
}

// The staged rows of `tokens`, handed to another sequence: they must be where its stream's tensors
// say, and rows that are appended must stand behind them.
Status SequenceCache::compare_handover(int32_t sequence, std::span<const Token> tokens) {
    constexpr int32_t kKept = 2;
    if (Status status = hand_over(sequence); !status) return status;
    truncate(sequence, kKept);
    if (Status status = append(sequence, tokens.subspan(kKept), nullptr); !status) return status;
    std::vector<uint16_t> k(staging_.k(0).size()), v(staging_.v(0).size());
    const auto same = [](std::span<const uint16_t> ours, std::span<const uint16_t> theirs,
                         int32_t dim) {
        const size_t kept = static_cast<size_t>(dim) * kKept;
        // Rows that were computed again, in a batch of another size, may differ in their last bits.
        return std::ranges::equal(ours.first(kept), theirs.first(kept)) &&
               relative_error(ours.subspan(kept), theirs.subspan(kept)) < 1e-3;
    };
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        tensors_->read(layer, sequence, 0, k, v);
        if (!same(k, staging_.k(layer), layout_.k_dim) ||
            !same(v, staging_.v(layer), layout_.v_dim)) {
            return layout_error("a restored sequence's rows are not in its first cells");
        }
    }
    truncate(sequence, 0);
    return {};
}

std::vector<KvSlab> SequenceCache::slabs(int32_t sequence) const {
    std::vector<KvSlab> slabs;
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        slabs.push_back(tensors_->slab(layer, sequence));
    }
    return slabs;
}

void SequenceCache::truncate(int32_t sequence, int32_t n_rows) {
    int32_t& held = n_rows_[static_cast<size_t>(sequence)];
    if (n_rows >= held) return;
    llama_memory_t memory = llama_get_memory(context_);
    // Recurrent memories can't forget a part: then all of it goes.
    if (n_rows == 0 || !llama_memory_seq_rm(memory, sequence, n_rows, -1)) {
        llama_memory_seq_rm(memory, sequence, -1, -1);
        n_rows = 0;
    }
    held = n_rows;
}

Status SequenceCache::append(int32_t sequence, std::span<const Token> tokens,
                             const PrefillTick& tick) {
    Status status = compute(sequence, tokens, n_rows(sequence), tick);
    if (!status) truncate(sequence, 0);
    return status;
}

Status SequenceCache::compute_at(int32_t sequence, std::span<const Token> tokens,
                                 int32_t first_position) {
    return compute(sequence, tokens, first_position, nullptr);
}

Status SequenceCache::compute(int32_t sequence, std::span<const Token> tokens, int32_t position,
                              const PrefillTick& tick) {
    while (!tokens.empty()) {
        const size_t n =
            static_cast<size_t>(batches_.size(position, static_cast<int32_t>(tokens.size())));
        Batch batch(static_cast<int32_t>(n));
        for (size_t i = 0; i < n; ++i) {
            batch.add(tokens[i], position++, sequence, i + 1 == tokens.size());
        }
        take_llama_error();
        const int32_t code = llama_decode(context_, batch.get());
        // Counted even after a failure, which may leave rows behind.
        n_rows_[static_cast<size_t>(sequence)] += static_cast<int32_t>(n);
        if (code != 0) return decode_error(code);
        tokens = tokens.subspan(n);
        if (tokens.empty()) return keep_logits(sequence, -1);
        if (tick && !tick()) {
            return Error{ErrorCode::kCancelled, "cancelled while its prompt was computed"};
        }
    }
    return {};
}

Status SequenceCache::keep_logits(int32_t sequence, int32_t index) {
    const float* row = llama_get_logits_ith(context_, index);
    if (row == nullptr) return Error{ErrorCode::kUnsupported, "this model gives no logits"};
    std::copy_n(row, logits(sequence).size(), logits(sequence).begin());
    return {};
}

Status SequenceCache::decode(std::span<const DecodeItem> items) {
    Batch batch(static_cast<int32_t>(items.size()));
    for (const DecodeItem& item : items) {
        batch.add(item.token, n_rows(item.sequence), item.sequence, true);
    }
    take_llama_error();
    if (const int32_t code = llama_decode(context_, batch.get()); code != 0) {
        for (const DecodeItem& item : items) {
            llama_memory_seq_rm(llama_get_memory(context_), item.sequence, n_rows(item.sequence),
                                -1);
        }
        return decode_error(code);
    }
    for (size_t i = 0; i < items.size(); ++i) {
        ++n_rows_[static_cast<size_t>(items[i].sequence)];
        if (Status status = keep_logits(items[i].sequence, static_cast<int32_t>(i)); !status) {
            return status;
        }
    }
    return {};
}

Status SequenceCache::place(int32_t sequence, int32_t n_rows, int32_t n_keep,
                            std::span<const PlacedBlock> blocks, const RopeSpec& rope) {
    if (Status status = staging_.reset(n_rows); !status) return status;
    while (rotations_.size() < blocks.size()) rotations_.emplace_back(rope, 0);
    for (size_t i = 0; i < blocks.size(); ++i) {
        const int32_t from = blocks[i].block->meta().frame_row + blocks[i].source_row;
        rotations_[i].reset(rope, blocks[i].row - from);
    }
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        stage_layer(layer, sequence, n_keep, blocks);
    }
    return hand_over(sequence);
}

void SequenceCache::stage_layer(int32_t layer, int32_t sequence, int32_t n_keep,
                                std::span<const PlacedBlock> blocks) {
    const size_t k_dim = static_cast<size_t>(layout_.k_dim);
    const size_t v_dim = static_cast<size_t>(layout_.v_dim);
    const std::span<uint16_t> k = staging_.k(layer);
    const std::span<uint16_t> v = staging_.v(layer);
    const size_t kept = static_cast<size_t>(n_keep);
    if (kept > 0) tensors_->read(layer, sequence, 0, k.first(kept * k_dim), v.first(kept * v_dim));

    // What no block covers starts as zeros, so that no kernel ever meets a NaN in a masked cell.
    const auto clear = [&](size_t begin, size_t end) {
        std::ranges::fill(k.subspan(begin * k_dim, (end - begin) * k_dim), uint16_t{0});
        std::ranges::fill(v.subspan(begin * v_dim, (end - begin) * v_dim), uint16_t{0});
    };
    size_t behind = kept;
    for (size_t i = 0; i < blocks.size(); ++i) {
        const PlacedBlock& placed = blocks[i];
        const size_t row = static_cast<size_t>(placed.row);
        const size_t source = static_cast<size_t>(placed.source_row);
        const size_t n = static_cast<size_t>(placed.n_rows);
        clear(behind, row);
        rotate_rows(rotations_[i], placed.block->k(layer).data() + source * k_dim,
                    k.data() + row * k_dim, placed.n_rows, layout_.k_dim);
        std::memcpy(v.data() + row * v_dim, placed.block->v(layer).data() + source * v_dim,
                    n * v_dim * sizeof(uint16_t));
        behind = row + n;
    }
    clear(behind, static_cast<size_t>(staging_.n_rows()));
}

Status SequenceCache::hand_over(int32_t sequence) {
    n_rows_[static_cast<size_t>(sequence)] = 0;
    if (Status status = staging_.hand_over(context_, sequence); !status) {
        llama_memory_seq_rm(llama_get_memory(context_), sequence, -1, -1);
        return status;
    }
    n_rows_[static_cast<size_t>(sequence)] = staging_.n_rows();
    return {};
}

}  // namespace spolia
