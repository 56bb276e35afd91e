#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "adapters/llama_server/server_client.h"
#include "adapters/llama_server/slot_file.h"
#include "adapters/llama_server/slot_folder.h"
#include "index/result.h"
#include "index/token.h"
#include "reuse/kv_layout.h"

namespace spolia {

// What the server is asked, and what must come out of it.
struct SlotProbe {
    SlotFolder& folder;
    KvLayout layout;
    std::span<const Token> tokens;  // a few, of the model's vocabulary
    int32_t slot = 0;               // idle
    // Of one of the tokens' K and V rows as the server computed them, layer by layer: fails where
    // they are another model's.
    std::function<Status(int32_t layer, std::span<const uint16_t> k, std::span<const uint16_t> v)>
        check_rows;
};

// Has the server compute the tokens and save its slot, reads the file, writes one of the same rows,
// and has that restored and used, and not after another prompt had the slot. Fails with what to
// change on the server's command line where any step does not come out as it must.
Result<SlotFileForm> probe_slots(const LlamaServerClient& server, const SlotProbe& probe);

}  // namespace spolia
