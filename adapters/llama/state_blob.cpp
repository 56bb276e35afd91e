#include "adapters/llama/state_blob.h"

#include <cstring>
#include <new>
#include <string>

#include "adapters/llama/model.h"
#include "llama.h"

namespace spolia {
namespace {

constexpr uint32_t kMagic = 0xaf143cd8;
constexpr size_t kHeadBytes = sizeof(uint32_t) + sizeof(int32_t);

}  // namespace

StateBlob::StateBlob(const KvLayout& layout, int32_t n_stream)
    : layout_(layout), n_stream_(n_stream) {}

Status StateBlob::reset(int32_t n_rows) {
    form_ = KvStateForm(layout_, n_stream_, n_rows);
    size_ = kHeadBytes + form_.bytes();
    if (size_ > capacity_) {
        bytes_.reset();
        capacity_ = 0;
        bytes_.reset(new (std::nothrow) std::byte[size_]);
        if (!bytes_) {
            form_ = {};
            return Error{ErrorCode::kOutOfMemory, "no memory to stage " + std::to_string(n_rows) +
                                                      " KV rows (" + std::to_string(size_ >> 20) +
                                                      " MiB)"};
        }
        capacity_ = size_;
    }
    const int32_t sequence = 0;
    std::memcpy(bytes_.get(), &kMagic, sizeof kMagic);
    std::memcpy(bytes_.get() + sizeof kMagic, &sequence, sizeof sequence);
    form_.write_frame(bytes_.get() + kHeadBytes);
    return {};
}

std::span<uint16_t> StateBlob::k(int32_t layer) {
    return {reinterpret_cast<uint16_t*>(bytes_.get() + kHeadBytes + form_.k_begin(layer)),
            static_cast<size_t>(n_rows()) * static_cast<size_t>(layout_.k_dim)};
}

std::span<uint16_t> StateBlob::v(int32_t layer) {
    return {reinterpret_cast<uint16_t*>(bytes_.get() + kHeadBytes + form_.v_begin(layer)),
            static_cast<size_t>(n_rows()) * static_cast<size_t>(layout_.v_dim)};
}

Status StateBlob::hand_over(llama_context* context, int32_t sequence) const {
    take_llama_error();
    const size_t read = llama_state_seq_set_data(
        context, reinterpret_cast<const uint8_t*>(bytes_.get()), size_, sequence);
    if (read == size_) return {};
    const std::string why = take_llama_error();
    return Error{ErrorCode::kInternal, "llama.cpp refused a state of " + std::to_string(n_rows()) +
                                           " rows" + (why.empty() ? "" : ": " + why)};
}

Status StateBlob::parse(std::span<const std::byte> state, int32_t n_rows) {
    if (Status status = reset(n_rows); !status) return status;
    if (state.size() != size_) {
        return other_kv_state("a state of " + std::to_string(n_rows) + " rows has " +
                              std::to_string(state.size()) + " bytes, not " +
                              std::to_string(size_));
    }
    // Everything but the rows must be as we would write it; sequence ids aside, and with the
    // sequence's stream first, which the caller sees to by using sequence 0.
    const auto differs = [&](size_t begin, size_t end) {
        return std::memcmp(state.data() + begin, bytes_.get() + begin, end - begin) != 0;
    };
    if (differs(0, kHeadBytes + form_.header_bytes())) return other_kv_state("its header differs");
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        const size_t k = kHeadBytes + form_.k_begin(layer);
        const size_t v = kHeadBytes + form_.v_begin(layer);
        if (differs(k - KvStateForm::kLayerHeaderBytes, k) ||
            differs(v - KvStateForm::kLayerHeaderBytes, v)) {
            return other_kv_state("layer " + std::to_string(layer) +
                                  " differs in type or row size");
        }
    }
    if (differs(kHeadBytes + form_.tail_begin(), size_)) {
        return other_kv_state("other streams are not empty");
    }
    std::memcpy(bytes_.get(), state.data(), size_);
    return {};
}

}  // namespace spolia
