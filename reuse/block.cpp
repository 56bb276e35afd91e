#include "reuse/block.h"

#include <cassert>
#include <new>
#include <utility>

namespace spolia {
namespace {

constexpr std::align_val_t kRowAlignment{64};

}  // namespace

std::string_view to_string(Provenance provenance) {
    switch (provenance) {
        case Provenance::kExact: return "exact";
        case Provenance::kIsolated: return "isolated";
        case Provenance::kContextual: return "contextual";
        case Provenance::kApproximate: return "approximate";
    }
    return "unknown";
}

KvBlock::KvBlock(BlockMeta meta)
    : meta_(std::move(meta)),
      bytes_(meta_.layout.row_bytes() * meta_.tokens.size()),
      data_(static_cast<std::byte*>(::operator new(bytes_, kRowAlignment))) {
    meta_.tokens.shrink_to_fit();
}

void KvBlock::AlignedFree::operator()(std::byte* pointer) const {
    ::operator delete(pointer, kRowAlignment);
}

size_t KvBlock::layer_elements() const {
    const auto row =
        static_cast<size_t>(meta_.layout.k_dim) + static_cast<size_t>(meta_.layout.v_dim);
    return row * meta_.tokens.size();
}

std::span<const uint16_t> KvBlock::k(int32_t layer) const {
    assert(layer >= 0 && layer < meta_.layout.n_layer);
    const auto* rows = reinterpret_cast<const uint16_t*>(data_.get());
    return {rows + static_cast<size_t>(layer) * layer_elements(),
            static_cast<size_t>(meta_.layout.k_dim) * meta_.tokens.size()};
}

std::span<const uint16_t> KvBlock::v(int32_t layer) const {
    const std::span<const uint16_t> keys = k(layer);
    return {keys.data() + keys.size(),
            static_cast<size_t>(meta_.layout.v_dim) * meta_.tokens.size()};
}

std::span<uint16_t> KvBlock::k(int32_t layer) {
    const std::span<const uint16_t> rows = std::as_const(*this).k(layer);
    return {const_cast<uint16_t*>(rows.data()), rows.size()};
}

std::span<uint16_t> KvBlock::v(int32_t layer) {
    const std::span<const uint16_t> rows = std::as_const(*this).v(layer);
    return {const_cast<uint16_t*>(rows.data()), rows.size()};
}

size_t KvBlock::bytes_total(const BlockMeta& meta) {
    return sizeof(KvBlock) + meta.tokens.size() * (meta.layout.row_bytes() + sizeof(Token));
}

}  // namespace spolia
