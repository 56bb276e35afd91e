#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "index/fingerprint.h"
#include "index/token.h"
#include "reuse/kv_layout.h"

namespace spolia {

// Where a block's rows come from, best first.
enum class Provenance : uint8_t {
    kExact = 0,        // dense compute behind this very prefix
    kIsolated = 1,     // encoded alone behind the sink prefix
    kContextual = 2,   // cut out of a dense prefill; meta.left_context names the context
    kApproximate = 3,  // mended or predicted
};
std::string_view to_string(Provenance provenance);

struct BlockMeta {
    Key128 key;    // chunk_key(), or chain_key() for a page of a prefix chain
    Key128 model;  // fingerprint of the model and of everything that shapes its K and V
    // Key of what stood before: a chain key; of a chunk encoded alone its scope_key(), which tells
    // whose it is. Key128{} where that is not known.
    Key128 left_context;
    Provenance provenance = Provenance::kIsolated;
    // Position at which the first row's K stands as stored. 0 is the canonical frame, in which all
    // chunks are stored. Pages of a prefix chain keep their own position, because they are only
    // ever used there and must come back bit by bit.
    int32_t frame_row = 0;
    KvLayout layout;
    std::vector<Token> tokens;  // one a row

    int32_t n_rows() const { return static_cast<int32_t>(tokens.size()); }
};

// The K and V rows of one chunk, all layers: [layer][K rows, V rows][row][dim] half floats, in one
// allocation aligned to 64 bytes. Immutable once it is in a BlockStore.
class KvBlock {
public:
    // Rows are uninitialised.
    explicit KvBlock(BlockMeta meta);

    const BlockMeta& meta() const { return meta_; }
    // Before the block goes into a store.
    void set_left_context(const Key128& key) { meta_.left_context = key; }
    int32_t n_rows() const { return meta_.n_rows(); }

    // n_rows() x k_dim (v_dim) half floats of one layer, row-major.
    std::span<uint16_t> k(int32_t layer);
    std::span<uint16_t> v(int32_t layer);
    std::span<const uint16_t> k(int32_t layer) const;
    std::span<const uint16_t> v(int32_t layer) const;

    std::span<std::byte> data() { return {data_.get(), bytes_}; }
    std::span<const std::byte> data() const { return {data_.get(), bytes_}; }
    // Bytes of rows and metadata: what the block counts for against a tier's budget.
    size_t bytes_total() const { return bytes_total(meta_); }
    static size_t bytes_total(const BlockMeta& meta);

private:
    struct AlignedFree {
        void operator()(std::byte* pointer) const;
    };
    size_t layer_elements() const;

    BlockMeta meta_;
    size_t bytes_ = 0;
    std::unique_ptr<std::byte, AlignedFree> data_;
};

}  // namespace spolia
