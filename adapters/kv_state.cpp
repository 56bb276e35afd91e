#include "adapters/kv_state.h"

#include <bit>
#include <cstring>
#include <optional>
#include <string>

namespace spolia {
namespace {

static_assert(std::endian::native == std::endian::little, "llama.cpp's states are little endian");

constexpr int32_t kTypeF16 = 1;
constexpr size_t kCellBytes = sizeof(int32_t) + sizeof(uint32_t) + sizeof(int32_t);

template <class T>
void append(std::byte*& at, T value) {
    std::memcpy(at, &value, sizeof value);
    at += sizeof value;
}

// Takes numbers and rows off a state's front.
class StateReader {
public:
    explicit StateReader(std::span<const std::byte> state) : state_(state) {}

    template <class T>
    std::optional<T> take() {
        if (state_.size() - at_ < sizeof(T)) return std::nullopt;
        T value;
        std::memcpy(&value, state_.data() + at_, sizeof value);
        at_ += sizeof value;
        return value;
    }
    // Where `n` rows begin; nothing where they are not all there.
    std::optional<size_t> skip_rows(size_t n, size_t row_bytes) {
        if (n > (state_.size() - at_) / row_bytes) return std::nullopt;
        const size_t begin = at_;
        at_ += n * row_bytes;
        return begin;
    }
    size_t left() const { return state_.size() - at_; }

private:
    std::span<const std::byte> state_;
    size_t at_ = 0;
};

Status take_cells(StateReader& reader, uint32_t n_cells, KvState& found) {
    if (n_cells > reader.left() / kCellBytes) return other_kv_state("cells are missing");
    for (uint32_t cell = 0; cell < n_cells; ++cell) {
        found.positions.push_back(*reader.take<int32_t>());
        if (*reader.take<uint32_t>() != 1) {
            return other_kv_state("cells of several sequences, or with extensions (M-RoPE)");
        }
        reader.take<int32_t>();
    }
    return {};
}

Status take_layers(StateReader& reader, const KvLayout& layout, size_t row_bytes,
                   std::string_view what, size_t n_rows, std::vector<size_t>& begins) {
    for (int32_t layer = 0; layer < layout.n_layer; ++layer) {
        const std::string where = std::string(what) + " of layer " + std::to_string(layer);
        const auto type = reader.take<int32_t>();
        const auto size = reader.take<uint64_t>();
        if (!type || !size) return other_kv_state(where + " is missing");
        if (*type != kTypeF16) {
            return other_kv_state(where + " has ggml type " + std::to_string(*type) +
                                  ", not f16 (--cache-type-k f16 --cache-type-v f16)");
        }
        if (*size != row_bytes) {
            return other_kv_state(where + " has rows of " + std::to_string(*size) + " bytes, not " +
                                  std::to_string(row_bytes));
        }
        const std::optional<size_t> begin = reader.skip_rows(n_rows, row_bytes);
        if (!begin) return other_kv_state(where + " is cut off");
        begins.push_back(*begin);
    }
    return {};
}

}  // namespace

Error other_kv_state(const std::string& what) {
    return {ErrorCode::kUnsupported,
            "this llama.cpp writes sequence states in a form that spolia does not know: " + what};
}

KvStateForm::KvStateForm(const KvLayout& layout, int32_t n_stream, int32_t n_rows)
    : layout_(layout),
      n_stream_(n_stream),
      n_rows_(n_rows),
      header_bytes_(2 * sizeof(uint32_t) + static_cast<size_t>(n_rows) * kCellBytes +
                    2 * sizeof(uint32_t)) {
    const size_t other_streams = static_cast<size_t>(n_stream - 1) * sizeof(uint32_t);
    size_ = tail_begin() + other_streams;
}

size_t KvStateForm::tail_begin() const { return v_begin(layout_.n_layer) - kLayerHeaderBytes; }

size_t KvStateForm::k_begin(int32_t layer) const {
    const size_t rows = static_cast<size_t>(n_rows_) * layout_.k_row_bytes();
    return header_bytes_ + static_cast<size_t>(layer) * (kLayerHeaderBytes + rows) +
           kLayerHeaderBytes;
}

size_t KvStateForm::v_begin(int32_t layer) const {
    const size_t rows = static_cast<size_t>(n_rows_) * layout_.v_row_bytes();
    return k_begin(layout_.n_layer) - kLayerHeaderBytes +
           static_cast<size_t>(layer) * (kLayerHeaderBytes + rows) + kLayerHeaderBytes;
}

void KvStateForm::write_frame(std::byte* state) const {
    std::byte* at = state;
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
        at = state + k_begin(layer) - kLayerHeaderBytes;
        append<int32_t>(at, kTypeF16);
        append<uint64_t>(at, layout_.k_row_bytes());
        at = state + v_begin(layer) - kLayerHeaderBytes;
        append<int32_t>(at, kTypeF16);
        append<uint64_t>(at, layout_.v_row_bytes());
    }
    at = state + tail_begin();
    for (int32_t stream = 1; stream < n_stream_; ++stream) append<uint32_t>(at, 0);
}

Result<KvState> parse_kv_state(std::span<const std::byte> state, const KvLayout& layout) {
    constexpr uint32_t kStreamsMax = 256;  // llama.cpp's LLAMA_MAX_SEQ
    StateReader reader(state);
    KvState found;
    const auto n_stream = reader.take<uint32_t>();
    if (!n_stream || *n_stream == 0 || *n_stream > kStreamsMax) {
        return other_kv_state("it does not begin with a number of streams");
    }
    found.n_stream = static_cast<int32_t>(*n_stream);
    for (uint32_t stream = 0; stream < *n_stream; ++stream) {
        const auto n_cells = reader.take<uint32_t>();
        if (!n_cells) return other_kv_state("a stream is missing");
        if (*n_cells == 0) continue;
        if (!found.k.empty()) return other_kv_state("the rows are in several streams");
        if (Status cells = take_cells(reader, *n_cells, found); !cells) return cells.error();
        const auto v_trans = reader.take<uint32_t>();
        const auto n_layer = reader.take<uint32_t>();
        if (!v_trans || !n_layer) return other_kv_state("it ends behind the cells");
        if (*v_trans != 0) {
            return other_kv_state(
                "V is transposed; flash attention (--flash-attn on) keeps it as it is");
        }
        if (*n_layer != static_cast<uint32_t>(layout.n_layer)) {
            return other_kv_state(std::to_string(*n_layer) + " layers, not " +
                                  std::to_string(layout.n_layer));
        }
        Status layers = take_layers(reader, layout, layout.k_row_bytes(), "K", *n_cells, found.k);
        if (layers) {
            layers = take_layers(reader, layout, layout.v_row_bytes(), "V", *n_cells, found.v);
        }
        if (!layers) return layers.error();
    }
    if (reader.left() > 0) {
        return other_kv_state(std::to_string(reader.left()) + " bytes more than expected");
    }
    return found;
}

}  // namespace spolia
