#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "adapters/kv_state.h"
#include "index/result.h"
#include "index/token.h"
#include "index/unique_fd.h"
#include "reuse/kv_layout.h"

namespace spolia {

// What distinguishes the slot files of one llama-server from those of another. It reads its own
// version only.
struct SlotFileForm {
    uint32_t version = 0;
    int32_t n_stream = 0;
};

// A file that llama-server saved a slot to. Little endian:
//
//   u32 magic 0x67677371, u32 version, u32 n_words, u32 words[n_words]
//
// then what KvStateForm describes. The words are the slot's tokens, as they are or, where the first
// word is -1: i32 -1, u32 1, u32 n, i32 tokens[n], u32 n_media = 0.
struct SlotFile {
    uint32_t version = 0;
    std::vector<Token> tokens;
    KvState state;
    size_t state_begin = 0;  // of the state's bytes, which its offsets count from

    SlotFileForm form() const { return {version, state.n_stream}; }
};

// kUnsupported, with what differs, where it is no such file or its rows are not those of `layout`.
Result<SlotFile> parse_slot_file(std::span<const std::byte> file, const KvLayout& layout);

// Writes slot files, all in one place: the memory of the last one is taken for the next. One
// thread.
class SlotFileWriter {
public:
    // `path` is made with the first file, for its owner's eyes only.
    SlotFileWriter(std::filesystem::path path, const KvLayout& layout, SlotFileForm form);
    ~SlotFileWriter();
    SlotFileWriter(const SlotFileWriter&) = delete;
    SlotFileWriter& operator=(const SlotFileWriter&) = delete;

    // Makes room for these tokens, a row each, and writes all but the rows. kIo with the reason
    // where the file can't be had, as on a full disk; nothing of it is left then.
    Status begin(std::span<const Token> tokens);

    // Rows to be written, row-major, tokens x k_dim (v_dim); until the next begin() or remove().
    std::span<uint16_t> k(int32_t layer);
    std::span<uint16_t> v(int32_t layer);
    size_t bytes() const { return bytes_; }

    const std::filesystem::path& path() const { return path_; }
    void remove();

private:
    Status resize(size_t bytes);
    std::span<uint16_t> rows_at(size_t begin, int32_t dim);

    const std::filesystem::path path_;
    const KvLayout layout_;
    const SlotFileForm form_;
    UniqueFd file_;
    std::byte* map_ = nullptr;
    size_t mapped_ = 0;
    size_t bytes_ = 0;
    size_t state_begin_ = 0;
    KvStateForm state_;
};

}  // namespace spolia
