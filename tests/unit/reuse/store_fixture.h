#pragma once

#include <stdlib.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "reuse/block.h"
#include "reuse/block_store.h"

namespace spolia::test {

inline constexpr KvLayout kLayout{.n_layer = 2, .k_dim = 8, .v_dim = 4};
inline constexpr Key128 kModel{0x1111, 0x2222};

class TempDirectory {
public:
    TempDirectory() {
        std::string name = (std::filesystem::temp_directory_path() / "spolia_XXXXXX").string();
        path_ = ::mkdtemp(name.data());
    }
    ~TempDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempDirectory(const TempDirectory&) = delete;
    TempDirectory& operator=(const TempDirectory&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// Block number `id`: its key, its tokens and, with a version, its rows follow from the number.
inline Key128 key_of(uint64_t id) { return {id * 0x9e3779b97f4a7c15u, id}; }

inline std::vector<Token> tokens_of(uint64_t id) {
    std::vector<Token> tokens(3 + id % 5);
    for (size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = static_cast<Token>(id * 100 + i);
    }
    return tokens;
}

inline uint16_t element_of(uint64_t id, uint64_t version, size_t i) {
    return static_cast<uint16_t>(id * 7919 + version * 104729 + i * 31);
}

inline BlockMeta meta_of(uint64_t id, Provenance provenance = Provenance::kIsolated) {
    return {.key = key_of(id),
            .model = kModel,
            .left_context = {id, 5},
            .provenance = provenance,
            .frame_row = static_cast<int32_t>(id % 3),
            .layout = kLayout,
            .tokens = tokens_of(id)};
}

inline std::unique_ptr<KvBlock> make_block(uint64_t id, uint64_t version = 0,
                                           Provenance provenance = Provenance::kIsolated) {
    auto block = std::make_unique<KvBlock>(meta_of(id, provenance));
    auto* elements = reinterpret_cast<uint16_t*>(block->data().data());
    for (size_t i = 0; i < block->data().size() / 2; ++i) {
        elements[i] = element_of(id, version, i);
    }
    return block;
}

// Whether `block` is, bit by bit, make_block(id, version).
inline bool is_block(const KvBlock& block, uint64_t id, uint64_t version = 0) {
    const auto expected = make_block(id, version);
    return block.meta().key == key_of(id) && block.meta().tokens == tokens_of(id) &&
           block.meta().left_context == expected->meta().left_context &&
           block.meta().frame_row == expected->meta().frame_row &&
           block.data().size() == expected->data().size() &&
           std::memcmp(block.data().data(), expected->data().data(), block.data().size()) == 0;
}

inline std::filesystem::path model_path(const std::filesystem::path& root) {
    return root / kModel.hex();
}

inline std::filesystem::path block_path(const std::filesystem::path& root, uint64_t id) {
    const std::string hex = key_of(id).hex();
    return model_path(root) / hex.substr(0, 2) / (hex + ".kv");
}

// Number of entries of a folder; 0 where there is none.
inline size_t count_entries(const std::filesystem::path& folder) {
    std::error_code missing;
    size_t n = 0;
    for ([[maybe_unused]] const auto& entry :
         std::filesystem::directory_iterator(folder, missing)) {
        ++n;
    }
    return n;
}

inline std::string read_file(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

}  // namespace spolia::test
