#include "adapters/llama/sequence_cache.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>

#include "adapters/llama/model.h"
#include "llama.h"
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

SequenceCache::SequenceCache(llama_context* context, const KvLayout& layout, int32_t n_sequences,
                             int32_t n_cells, int32_t n_vocab)
    : context_(context),
      layout_(layout),
      n_cells_(n_cells),
      staging_(layout, n_sequences),
      n_rows_(static_cast<size_t>(n_sequences)),
      logits_(static_cast<size_t>(n_sequences), std::vector<float>(static_cast<size_t>(n_vocab))) {}

Status SequenceCache::probe(KvTensors* seen, std::span<const Token> tokens) {
    if (Status status = append(0, tokens, nullptr); !status) return status;
    if (Status status = seen->complete(layout_, static_cast<int32_t>(n_rows_.size()), n_cells_);
        !status) {
        return status;
    }
    tensors_ = seen;
    if (Status status = compare_probe(tokens); !status) return status;

    // The last sequence's rows must be where its stream's tensors say, after a handover and after
    // an append behind it.
    const int32_t last = static_cast<int32_t>(n_rows_.size()) - 1;
    truncate(0, 0);
    if (Status status = hand_over(last); !status) return status;
    truncate(last, 2);
    if (Status status = append(last, tokens.subspan(2), nullptr); !status) return status;
    std::vector<uint16_t> k(staging_.k(0).size()), v(staging_.v(0).size());
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        tensors_->read(layer, last, 0, k, v);
        // Rows 0 and 1 came through the handover unchanged; those behind were computed again, in a
        // batch of another size, and may differ in the last bit.
        const size_t kept = static_cast<size_t>(layout_.k_dim) * 2;
        if (!std::equal(k.begin(), k.begin() + static_cast<std::ptrdiff_t>(kept),
                        staging_.k(layer).begin())) {
            return layout_error("a restored sequence's rows are not in its first cells");
        }
    }
    truncate(last, 0);
    return {};
}

// Sequence 0 holds `tokens`: its state, as llama.cpp writes it, must have the known form and hold
// the very rows that stand in the KV tensors.
Status SequenceCache::compare_probe(std::span<const Token> tokens) {
    std::vector<std::byte> state(llama_state_seq_get_size(context_, 0));
    const size_t written = llama_state_seq_get_data(
        context_, reinterpret_cast<uint8_t*>(state.data()), state.size(), 0);
    state.resize(written);
    const int32_t n = static_cast<int32_t>(tokens.size());
    if (Status status = staging_.parse(state, n); !status) return status;
    std::vector<uint16_t> k(staging_.k(0).size()), v(staging_.v(0).size());
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        tensors_->read(layer, 0, 0, k, v);
        if (!std::ranges::equal(k, staging_.k(layer)) || !std::ranges::equal(v, staging_.v(layer))) {
            return layout_error("layer " + std::to_string(layer) + "'s cells differ from its state");
        }
    }
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
    int32_t& held = n_rows_[static_cast<size_t>(sequence)];
    const size_t batch_rows = llama_n_ubatch(context_);
    while (!tokens.empty()) {
        const size_t n = std::min(tokens.size(), batch_rows);
        Batch batch(static_cast<int32_t>(n));
        for (size_t i = 0; i < n; ++i) {
            batch.add(tokens[i], held + static_cast<int32_t>(i), sequence, i + 1 == tokens.size());
        }
        take_llama_error();
        if (const int32_t code = llama_decode(context_, batch.get()); code != 0) {
            truncate(sequence, 0);
            return decode_error(code);
        }
        held += static_cast<int32_t>(n);
        tokens = tokens.subspan(n);
        if (tokens.empty()) {
            const float* row = llama_get_logits_ith(context_, -1);
            std::copy_n(row, logits_[0].size(), logits(sequence).begin());
        } else if (tick && !tick()) {
            truncate(sequence, 0);
            return Error{ErrorCode::kCancelled, "cancelled while its prompt was computed"};
        }
    }
    return {};
}

Status SequenceCache::compute_at(int32_t sequence, std::span<const Token> tokens,
                                 int32_t first_position) {
    Batch batch(static_cast<int32_t>(tokens.size()));
    for (size_t i = 0; i < tokens.size(); ++i) {
        batch.add(tokens[i], first_position + static_cast<int32_t>(i), sequence, i + 1 == tokens.size());
    }
    take_llama_error();
    if (const int32_t code = llama_decode(context_, batch.get()); code != 0) return decode_error(code);
    n_rows_[static_cast<size_t>(sequence)] = static_cast<int32_t>(tokens.size());
    return {};
}

Status SequenceCache::decode(std::span<const DecodeItem> items) {
    Batch batch(static_cast<int32_t>(items.size()));
    for (const DecodeItem& item : items) {
        batch.add(item.token, n_rows(item.sequence), item.sequence, true);
    }
    take_llama_error();
    if (const int32_t code = llama_decode(context_, batch.get()); code != 0) return decode_error(code);
    for (size_t i = 0; i < items.size(); ++i) {
        const float* row = llama_get_logits_ith(context_, static_cast<int32_t>(i));
        std::copy_n(row, logits_[0].size(), logits(items[i].sequence).begin());
        ++n_rows_[static_cast<size_t>(items[i].sequence)];
    }
    return {};
}

Status SequenceCache::place(int32_t sequence, int32_t n_rows, int32_t n_keep,
                            std::span<const PlacedBlock> blocks, const RopeSpec& rope) {
    if (Status status = staging_.reset(n_rows); !status) return status;
    // What no block covers starts as zeros, so that no kernel ever meets a NaN in a masked cell.
    std::vector<TokenSpan> gaps;
    int32_t behind = n_keep;
    std::vector<Rotation> rotations;
    for (const PlacedBlock& placed : blocks) {
        if (placed.row > behind) gaps.push_back({behind, placed.row});
        behind = placed.row + placed.n_rows;
        const int32_t from = placed.block->meta().frame_row + placed.source_row;
        rotations.emplace_back(rope, placed.row - from);
    }
    if (n_rows > behind) gaps.push_back({behind, n_rows});

    const size_t k_dim = static_cast<size_t>(layout_.k_dim);
    const size_t v_dim = static_cast<size_t>(layout_.v_dim);
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        const std::span<uint16_t> k = staging_.k(layer);
        const std::span<uint16_t> v = staging_.v(layer);
        if (n_keep > 0) {
            const size_t kept = static_cast<size_t>(n_keep);
            tensors_->read(layer, sequence, 0, k.first(kept * k_dim), v.first(kept * v_dim));
        }
        for (size_t i = 0; i < blocks.size(); ++i) {
            const PlacedBlock& placed = blocks[i];
            const size_t row = static_cast<size_t>(placed.row);
            const size_t source = static_cast<size_t>(placed.source_row);
            const size_t n = static_cast<size_t>(placed.n_rows);
            rotate_rows(rotations[i], placed.block->k(layer).data() + source * k_dim,
                        k.data() + row * k_dim, placed.n_rows, layout_.k_dim);
            std::memcpy(v.data() + row * v_dim, placed.block->v(layer).data() + source * v_dim,
                        n * v_dim * sizeof(uint16_t));
        }
        for (const TokenSpan& gap : gaps) {
            const size_t begin = static_cast<size_t>(gap.begin);
            const size_t n = static_cast<size_t>(gap.size());
            std::ranges::fill(k.subspan(begin * k_dim, n * k_dim), uint16_t{0});
            std::ranges::fill(v.subspan(begin * v_dim, n * v_dim), uint16_t{0});
        }
    }
    return hand_over(sequence);
}

Status SequenceCache::hand_over(int32_t sequence) {
    take_llama_error();
    n_rows_[static_cast<size_t>(sequence)] = 0;
    if (Status status = staging_.hand_over(context_, sequence); !status) {
        llama_memory_seq_rm(llama_get_memory(context_), sequence, -1, -1);
        return status;
    }
    n_rows_[static_cast<size_t>(sequence)] = staging_.n_rows();
    return {};
}

}  // namespace spolia
