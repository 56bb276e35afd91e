#include "broker/proxy/slot_keeper.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <string>

#include "adapters/llama_server/slot_file.h"

namespace spolia {
namespace {

// The rows of a slot file whose positions are those of its tokens.
class SlotFileRows final : public RowSource {
public:
    SlotFileRows(const std::string& bytes, const SlotFile& file, const KvLayout& layout)
        : state_(bytes.data() + file.state_begin), file_(file), layout_(layout) {}

    int32_t n_rows() const override { return static_cast<int32_t>(file_.state.positions.size()); }
    Status copy(int32_t layer, int32_t begin, std::span<uint16_t> k,
                std::span<uint16_t> v) const override {
        const auto index = static_cast<size_t>(layer);
        const auto first = static_cast<size_t>(begin);
        std::memcpy(k.data(), state_ + file_.state.k[index] + first * layout_.k_row_bytes(),
                    k.size_bytes());
        std::memcpy(v.data(), state_ + file_.state.v[index] + first * layout_.v_row_bytes(),
                    v.size_bytes());
        return {};
    }

private:
    const char* state_;
    const SlotFile& file_;
    const KvLayout layout_;
};

bool in_order(const std::vector<int32_t>& positions) {
    for (size_t i = 0; i < positions.size(); ++i) {
        if (positions[i] != static_cast<int32_t>(i)) return false;
    }
    return true;
}

}  // namespace

Result<std::vector<Token>> SlotKeeper::keep(const SlotLease& lease,
                                            const std::vector<Token>& prompt) const {
    const Result<std::string> bytes = folder_.save(server_, lease.slot());
    if (!bytes) return bytes.error();
    const KvLayout& layout = service_.model().kv;
    const Result<SlotFile> file = parse_slot_file(std::as_bytes(std::span(*bytes)), layout);
    if (!file) return file.error();
    // Something that went past us may have taken the slot, or the server shifted its context.
    const std::vector<Token>& tokens = file->tokens;
    const auto n_rows = std::min(tokens.size(), file->state.positions.size());
    if (n_rows < prompt.size() || !in_order(file->state.positions) ||
        !std::equal(prompt.begin(), prompt.end(), tokens.begin())) {
        return Error{ErrorCode::kCorrupt, "the slot holds another prompt than it was given"};
    }
    std::vector<Token> held(tokens.begin(), tokens.begin() + static_cast<ptrdiff_t>(n_rows));
    service_.keep_rows(lease.tenant(), held, SlotFileRows(*bytes, *file, layout));
    return held;
}

}  // namespace spolia
