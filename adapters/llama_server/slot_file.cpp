#include "adapters/llama_server/slot_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace spolia {
namespace {

constexpr uint32_t kMagic = 0x67677371;
constexpr size_t kHeadWords = 3;
constexpr uint32_t kPackedVersion = 1;

Error unknown(const std::string& what) {
    return {ErrorCode::kUnsupported,
            "this llama-server saves slots in a form that spolia does not know: " + what};
}

uint32_t word_at(std::span<const std::byte> file, size_t index) {
    uint32_t word = 0;
    std::memcpy(&word, file.data() + index * sizeof word, sizeof word);
    return word;
}

std::vector<Token> tokens_at(std::span<const std::byte> file, size_t first_word, size_t n) {
    std::vector<Token> tokens(n);
    if (n > 0)
        std::memcpy(tokens.data(), file.data() + first_word * sizeof(Token), n * sizeof(Token));
    return tokens;
}

// Tokens as they are, or packed; nothing where media are among them.
std::optional<std::vector<Token>> take_tokens(std::span<const std::byte> file, size_t n_words) {
    constexpr size_t kPackedHead = 3;
    if (n_words == 0 || word_at(file, kHeadWords) != UINT32_MAX) {
        return tokens_at(file, kHeadWords, n_words);
    }
    if (n_words < kPackedHead + 1 || word_at(file, kHeadWords + 1) != kPackedVersion) {
        return std::nullopt;
    }
    const size_t n_tokens = word_at(file, kHeadWords + 2);
    if (n_tokens != n_words - kPackedHead - 1 || word_at(file, kHeadWords + n_words - 1) != 0) {
        return std::nullopt;
    }
    return tokens_at(file, kHeadWords + kPackedHead, n_tokens);
}

Error system_error(const std::filesystem::path& path, const std::string& what, int number) {
    return {ErrorCode::kIo, "can't " + what + " the slot file " + path.string() + ": " +
                                std::generic_category().message(number)};
}

}  // namespace

Result<SlotFile> parse_slot_file(std::span<const std::byte> file, const KvLayout& layout) {
    if (file.size() < kHeadWords * sizeof(uint32_t) || word_at(file, 0) != kMagic) {
        return unknown("it does not begin with 'ggsq'");
    }
    SlotFile found;
    found.version = word_at(file, 1);
    const size_t n_words = word_at(file, 2);
    if (n_words > file.size() / sizeof(uint32_t) - kHeadWords) return unknown("tokens are missing");
    std::optional<std::vector<Token>> tokens = take_tokens(file, n_words);
    if (!tokens) return unknown("its list of tokens is packed in another way, or has media in it");
    found.tokens = *std::move(tokens);
    found.state_begin = (kHeadWords + n_words) * sizeof(uint32_t);
    Result<KvState> state = parse_kv_state(file.subspan(found.state_begin), layout);
    if (!state) return state.error();
    found.state = *std::move(state);
    return found;
}

SlotFileWriter::SlotFileWriter(std::filesystem::path path, const KvLayout& layout,
                               SlotFileForm form)
    : path_(std::move(path)), layout_(layout), form_(form) {}

SlotFileWriter::~SlotFileWriter() { remove(); }

Status SlotFileWriter::begin(std::span<const Token> tokens) {
    state_ = KvStateForm(layout_, form_.n_stream, static_cast<int32_t>(tokens.size()));
    state_begin_ = (kHeadWords + tokens.size()) * sizeof(uint32_t);
    if (Status sized = resize(state_begin_ + state_.bytes()); !sized) {
        remove();
        return sized;
    }
    const uint32_t head[kHeadWords] = {kMagic, form_.version, static_cast<uint32_t>(tokens.size())};
    std::memcpy(map_, head, sizeof head);
    std::memcpy(map_ + sizeof head, tokens.data(), tokens.size_bytes());
    state_.write_frame(map_ + state_begin_);
    return {};
}

Status SlotFileWriter::resize(size_t bytes) {
    if (!file_.valid()) {
        file_ = UniqueFd(open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                              S_IRUSR | S_IWUSR));
        if (!file_.valid()) return system_error(path_, "open", errno);
        bytes_ = 0;
    }
    const auto size = static_cast<off_t>(bytes);
    if (ftruncate(file_.get(), size) != 0) return system_error(path_, "size", errno);
    // Writing to a mapped page that the disk has no room for would end the process.
    if (const int refused = posix_fallocate(file_.get(), 0, size); refused != 0) {
        return system_error(path_, "get " + std::to_string(bytes >> 20) + " MiB for", refused);
    }
    bytes_ = bytes;
    if (bytes <= mapped_) return {};
    if (map_ != nullptr) munmap(std::exchange(map_, nullptr), std::exchange(mapped_, 0));
    void* map = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (map == MAP_FAILED) return system_error(path_, "map", errno);
    map_ = static_cast<std::byte*>(map);
    mapped_ = bytes;
    return {};
}

std::span<uint16_t> SlotFileWriter::rows_at(size_t begin, int32_t dim) {
    return {reinterpret_cast<uint16_t*>(map_ + state_begin_ + begin),
            static_cast<size_t>(state_.n_rows()) * static_cast<size_t>(dim)};
}

std::span<uint16_t> SlotFileWriter::k(int32_t layer) {
    return rows_at(state_.k_begin(layer), layout_.k_dim);
}

std::span<uint16_t> SlotFileWriter::v(int32_t layer) {
    return rows_at(state_.v_begin(layer), layout_.v_dim);
}

void SlotFileWriter::remove() {
    if (map_ != nullptr) munmap(std::exchange(map_, nullptr), std::exchange(mapped_, 0));
    if (!file_.valid()) return;
    file_.reset();
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
}

}  // namespace spolia
