#include "adapters/llama/state_blob.h"

#include <bit>
#include <cstring>
#include <new>
#include <string>

#include "adapters/llama/model.h"
#include "ggml.h"
#include "llama.h"

namespace spolia {
namespace {

static_assert(std::endian::native == std::endian::little, "llama.cpp's states are little endian");

constexpr uint32_t kMagic = 0xaf143cd8;
constexpr size_t kLayerHeaderBytes = sizeof(int32_t) + sizeof(uint64_t);
constexpr size_t kCellBytes = sizeof(int32_t) + sizeof(uint32_t) + sizeof(int32_t);

template <class T>
void append(std::byte*& at, T value) {
    std::memcpy(at, &value, sizeof value);
    at += sizeof value;
}

Error mismatch(const std::string& what) {
    return {ErrorCode::kUnsupported,
            "this llama.cpp writes sequence states in a form that spolia does not know: " + what};
}

}  // namespace

StateBlob::StateBlob(const KvLayout& layout, int32_t n_stream)
    : layout_(layout), n_stream_(n_stream) {}

Status StateBlob::reset(int32_t n_rows) {
    const size_t rows = static_cast<size_t>(n_rows);
    const size_t other_streams = static_cast<size_t>(n_stream_) * sizeof(uint32_t);
    // The sequence's own stream comes first, so the empty ones follow behind the rows.
    header_bytes_ =
        3 * sizeof(uint32_t) + sizeof(uint32_t) + rows * kCellBytes + 2 * sizeof(uint32_t);
    n_rows_ = n_rows;
    size_ = v_begin(layout_.n_layer) - kLayerHeaderBytes + other_streams - sizeof(uint32_t);
    if (size_ > capacity_) {
        bytes_.reset();
        capacity_ = 0;
        bytes_.reset(new (std::nothrow) std::byte[size_]);
        if (!bytes_) {
            n_rows_ = 0;
            return Error{ErrorCode::kOutOfMemory, "no memory to stage " + std::to_string(n_rows) +
                                                      " KV rows (" + std::to_string(size_ >> 20) +
                                                      " MiB)"};
        }
        capacity_ = size_;
    }
    write_header();
    return {};
}

void StateBlob::write_header() {
    std::byte* at = bytes_.get();
    append<uint32_t>(at, kMagic);
    append<int32_t>(at, 0);
    append<uint32_t>(at, static_cast<uint32_t>(n_stream_));
    append<uint32_t>(at, static_cast<uint32_t>(n_rows_));
    for (int32_t row = 0; row < n_rows_; ++row) {
        append<int32_t>(at, row);
        append<uint32_t>(at, 1);
        append<int32_t>(at, 0);  // read and ignored: the state goes to the sequence asked for
    }
    append<uint32_t>(at, 0);
    append<uint32_t>(at, static_cast<uint32_t>(layout_.n_layer));
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        at = bytes_.get() + k_begin(layer) - kLayerHeaderBytes;
        append<int32_t>(at, GGML_TYPE_F16);
        append<uint64_t>(at, layout_.k_row_bytes());
        at = bytes_.get() + v_begin(layer) - kLayerHeaderBytes;
        append<int32_t>(at, GGML_TYPE_F16);
        append<uint64_t>(at, layout_.v_row_bytes());
    }
    at = bytes_.get() + v_begin(layout_.n_layer) - kLayerHeaderBytes;
    for (int32_t stream = 1; stream < n_stream_; ++stream) append<uint32_t>(at, 0);
}

size_t StateBlob::k_begin(int32_t layer) const {
    const size_t rows = static_cast<size_t>(n_rows_) * layout_.k_row_bytes();
    return header_bytes_ + static_cast<size_t>(layer) * (kLayerHeaderBytes + rows) +
           kLayerHeaderBytes;
}

size_t StateBlob::v_begin(int32_t layer) const {
    const size_t rows = static_cast<size_t>(n_rows_) * layout_.v_row_bytes();
    return k_begin(layout_.n_layer) - kLayerHeaderBytes +
           static_cast<size_t>(layer) * (kLayerHeaderBytes + rows) + kLayerHeaderBytes;
}

std::span<uint16_t> StateBlob::k(int32_t layer) {
    return {reinterpret_cast<uint16_t*>(bytes_.get() + k_begin(layer)),
            static_cast<size_t>(n_rows_) * layout_.k_dim};
}

std::span<uint16_t> StateBlob::v(int32_t layer) {
    return {reinterpret_cast<uint16_t*>(bytes_.get() + v_begin(layer)),
            static_cast<size_t>(n_rows_) * layout_.v_dim};
}

Status StateBlob::hand_over(llama_context* context, int32_t sequence) const {
    take_llama_error();
    const size_t read = llama_state_seq_set_data(
        context, reinterpret_cast<const uint8_t*>(bytes_.get()), size_, sequence);
    if (read == size_) return {};
    const std::string why = take_llama_error();
    return Error{ErrorCode::kInternal, "llama.cpp refused a state of " + std::to_string(n_rows_) +
                                           " rows" + (why.empty() ? "" : ": " + why)};
}

Status StateBlob::parse(std::span<const std::byte> state, int32_t n_rows) {
    if (Status status = reset(n_rows); !status) return status;
    if (state.size() != size_) {
        return mismatch("a state of " + std::to_string(n_rows) + " rows has " +
                        std::to_string(state.size()) + " bytes, not " + std::to_string(size_));
    }
    // Everything but the rows must be as we would write it; sequence ids aside, and with the
    // sequence's stream first, which the caller sees to by using sequence 0.
    const auto differs = [&](size_t begin, size_t end) {
        return std::memcmp(state.data() + begin, bytes_.get() + begin, end - begin) != 0;
    };
    if (differs(0, header_bytes_)) return mismatch("its header differs");
    for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
        if (differs(k_begin(layer) - kLayerHeaderBytes, k_begin(layer)) ||
            differs(v_begin(layer) - kLayerHeaderBytes, v_begin(layer))) {
            return mismatch("layer " + std::to_string(layer) + " differs in type or row size");
        }
    }
    if (differs(v_begin(layout_.n_layer) - kLayerHeaderBytes, size_)) {
        return mismatch("other streams are not empty");
    }
    std::memcpy(bytes_.get(), state.data(), size_);
    return {};
}

}  // namespace spolia
