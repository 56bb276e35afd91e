#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "index/token.h"
#include "reuse/kv_layout.h"

namespace spolia::test {

// A slot file as llama-server writes it, put together word by word and not by what is under test.
// Row r of layer l begins with the half float 100 l + r, V with its negative.
struct SlotBytes {
    uint32_t version = 3;
    KvLayout layout{.n_layer = 2, .k_dim = 4, .v_dim = 2};
    std::vector<Token> tokens = {5, 6, 7};
    bool packed = true;    // the list of tokens as versions from 3 on write it
    uint32_t n_media = 0;  // of a packed list
    int32_t n_stream = 1;
    int32_t stream = 0;  // that has the rows
    int32_t sequence = 0;
    std::vector<int32_t> positions = {0, 1, 2};
    uint32_t v_trans = 0;
    int32_t type = 1;  // ggml's f16
    // Writes a row's elements, which are zeros, in place of the numbers above.
    std::function<void(int32_t layer, bool v, size_t row, std::span<uint16_t>)> fill_row = {};

    std::string bytes() const {
        std::string out;
        word(out, 0x67677371);
        word(out, version);
        if (packed) {
            word(out, static_cast<uint32_t>(tokens.size() + 4));
            word(out, UINT32_MAX);
            word(out, 1);
            word(out, static_cast<uint32_t>(tokens.size()));
        } else {
            word(out, static_cast<uint32_t>(tokens.size()));
        }
        for (const Token token : tokens) word(out, static_cast<uint32_t>(token));
        if (packed) word(out, n_media);
        return out + state();
    }

    std::string state() const {
        std::string out;
        word(out, static_cast<uint32_t>(n_stream));
        for (int32_t each = 0; each < n_stream; ++each) {
            word(out, each == stream ? static_cast<uint32_t>(positions.size()) : 0);
            if (each == stream) rows(out);
        }
        return out;
    }

    static uint16_t value(int32_t layer, size_t row, bool v) {
        return static_cast<uint16_t>((v ? 0x8000 : 0) + 100 * layer + static_cast<int32_t>(row));
    }

private:
    static void word(std::string& out, uint32_t value) {
        out.append(reinterpret_cast<const char*>(&value), sizeof value);
    }

    void rows(std::string& out) const {
        for (const int32_t position : positions) {
            word(out, static_cast<uint32_t>(position));
            word(out, 1);
            word(out, static_cast<uint32_t>(sequence));
        }
        word(out, v_trans);
        word(out, static_cast<uint32_t>(layout.n_layer));
        for (const bool v : {false, true}) {
            for (int32_t layer = 0; layer < layout.n_layer; ++layer) {
                const auto dim = static_cast<size_t>(v ? layout.v_dim : layout.k_dim);
                const uint64_t row_bytes = dim * sizeof(uint16_t);
                word(out, static_cast<uint32_t>(type));
                out.append(reinterpret_cast<const char*>(&row_bytes), sizeof row_bytes);
                for (size_t row = 0; row < positions.size(); ++row) {
                    std::vector<uint16_t> elements(dim, 0);
                    if (fill_row) {
                        fill_row(layer, v, row, elements);
                    } else {
                        elements[0] = value(layer, row, v);
                    }
                    out.append(reinterpret_cast<const char*>(elements.data()), row_bytes);
                }
            }
        }
    }
};

}  // namespace spolia::test
