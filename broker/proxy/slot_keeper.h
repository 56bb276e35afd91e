#pragma once

#include <cstdint>
#include <vector>

#include "adapters/llama_server/server_client.h"
#include "adapters/llama_server/slot_folder.h"
#include "adapters/llama_server/slot_table.h"
#include "broker/service.h"
#include "index/result.h"
#include "index/token.h"

namespace spolia {

// Takes what a llama-server computed in a slot over into the broker's store, so that it is there
// when the slot has been given to other prompts. Any thread.
class SlotKeeper {
public:
    // Of a prompt computed in fewer tokens than these the copy costs more than it can save.
    static constexpr int32_t kComputedMin = 256;

    SlotKeeper(Service& service, const LlamaServerClient& server, SlotFolder& folder)
        : service_(service), server_(server), folder_(folder) {}

    // Of a slot whose answer is done, all of whose rows the server computed. Returns the tokens
    // that it holds: the prompt's, and those of the answer. Fails where it holds another prompt.
    Result<std::vector<Token>> keep(const SlotLease& lease, const std::vector<Token>& prompt) const;

private:
    Service& service_;
    const LlamaServerClient& server_;
    SlotFolder& folder_;
};

}  // namespace spolia
