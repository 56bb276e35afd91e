#include "adapters/llama_server/slot_probe.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace spolia {
namespace {

Error no_such_form(const std::string& what) { return {ErrorCode::kUnsupported, what}; }

Result<SlotFile> check_saved(std::string_view bytes, const KvLayout& layout,
                             std::span<const Token> tokens) {
    Result<SlotFile> file = parse_slot_file(std::as_bytes(std::span(bytes)), layout);
    if (!file) return file.error();
    // The one token that was sampled is not in the cache.
    if (file->tokens.size() < tokens.size() ||
        !std::ranges::equal(std::span(file->tokens).first(tokens.size()), tokens)) {
        return no_such_form("llama-server saved a slot with other tokens than it was given");
    }
    const auto& positions = file->state.positions;
    if (positions.size() < tokens.size()) {
        return no_such_form("llama-server saved a slot without some of its rows");
    }
    for (size_t i = 0; i < positions.size(); ++i) {
        if (positions[i] == static_cast<int32_t>(i)) continue;
        return no_such_form("llama-server saved a slot's rows in another order than the tokens'");
    }
    return file;
}

// The first rows of a saved slot, as if they were ours.
Status write_copy(SlotFileWriter& writer, std::string_view saved, const SlotFile& file,
                  const KvLayout& layout, std::span<const Token> tokens) {
    if (Status begun = writer.begin(tokens); !begun) return begun;
    const char* state = saved.data() + file.state_begin;
    for (int32_t layer = 0; layer < layout.n_layer; ++layer) {
        const auto index = static_cast<size_t>(layer);
        std::memcpy(writer.k(layer).data(), state + file.state.k[index],
                    writer.k(layer).size_bytes());
        std::memcpy(writer.v(layer).data(), state + file.state.v[index],
                    writer.v(layer).size_bytes());
    }
    return {};
}

// How many of the tokens a slot gives without computing them.
Result<int32_t> cached(const LlamaServerClient& server, int32_t slot,
                       std::span<const Token> tokens) {
    const Result<ServerTimings> timings = server.complete(slot, tokens);
    if (!timings) return timings.error();
    return timings->cache_n;
}

Status check_restored(const LlamaServerClient& server, int32_t slot, const std::string& name,
                      std::span<const Token> tokens) {
    const Result<int32_t> restored = server.restore_slot(slot, name);
    if (!restored) return restored.error();
    const Result<int32_t> n_cached = cached(server, slot, tokens);
    if (!n_cached) return n_cached.error();
    // The last token of a full match is computed for its logits.
    if (*n_cached >= static_cast<int32_t>(tokens.size()) - 1) return {};
    return no_such_form("llama-server computes what was restored to its slot (" +
                        std::to_string(*n_cached) + " of " + std::to_string(tokens.size()) +
                        " tokens were taken from there): models with sliding windows or recurrent "
                        "layers do, and servers without cache_prompt");
}

Status check_rows(const SlotProbe& probe, std::string_view saved, const SlotFile& file) {
    if (!probe.check_rows) return {};
    const size_t n_rows = probe.tokens.size();
    const auto rows_at = [&](size_t begin, int32_t dim) {
        std::vector<uint16_t> rows(n_rows * static_cast<size_t>(dim));
        std::memcpy(rows.data(), saved.data() + file.state_begin + begin,
                    rows.size() * sizeof(uint16_t));
        return rows;
    };
    for (int32_t layer = 0; layer < probe.layout.n_layer; ++layer) {
        const auto index = static_cast<size_t>(layer);
        const Status same =
            probe.check_rows(layer, rows_at(file.state.k[index], probe.layout.k_dim),
                             rows_at(file.state.v[index], probe.layout.v_dim));
        if (!same) return same;
    }
    return {};
}

// Composed rows would come back to prompts that are to have exact ones.
Status check_forgets(const LlamaServerClient& server, const SlotProbe& probe) {
    const std::vector<Token> other(probe.tokens.rbegin(), probe.tokens.rend());
    if (const auto replaced = server.complete(probe.slot, other); !replaced) {
        return replaced.error();
    }
    const Result<int32_t> n_cached = cached(server, probe.slot, probe.tokens);
    if (!n_cached) return n_cached.error();
    if (*n_cached <= 1) return {};
    return no_such_form(
        "llama-server keeps in memory what its slots held and brings it back, "
        "composed rows among it: start it with --cache-ram 0");
}

}  // namespace

Result<SlotFileForm> probe_slots(const LlamaServerClient& server, const SlotProbe& probe) {
    // Costs nothing where the server has no slots to save.
    if (const Status erased = server.erase_slot(probe.slot); !erased) {
        return Error{erased.error().code, erased.error().message +
                                              "; start it with --slot-save-path " +
                                              probe.folder.path().string() + "/"};
    }
    if (const auto computed = server.complete(probe.slot, probe.tokens); !computed) {
        return computed.error();
    }
    const Result<std::string> saved = probe.folder.save(server, probe.slot);
    if (!saved) return saved.error();
    const Result<SlotFile> file = check_saved(*saved, probe.layout, probe.tokens);
    if (!file) return file.error();
    if (Status same = check_rows(probe, *saved, *file); !same) return same.error();

    const std::string own_name = probe.folder.new_name("probe");
    SlotFileWriter writer(probe.folder / own_name, probe.layout, file->form());
    Status step = write_copy(writer, *saved, *file, probe.layout, probe.tokens);
    if (step) step = server.erase_slot(probe.slot);
    if (step) step = check_restored(server, probe.slot, own_name, probe.tokens);
    if (!step) return step.error();
    if (Status forgets = check_forgets(server, probe); !forgets) return forgets.error();
    return file->form();
}

}  // namespace spolia
