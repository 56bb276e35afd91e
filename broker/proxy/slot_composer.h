#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "adapters/llama_server/server_client.h"
#include "adapters/llama_server/slot_file.h"
#include "adapters/llama_server/slot_folder.h"
#include "adapters/llama_server/slot_probe.h"
#include "adapters/llama_server/slot_table.h"
#include "broker/service.h"
#include "index/result.h"

namespace spolia {

// What became of a prompt that is to be put into a slot.
struct SlotFill {
    Receipt receipt;       // as it was composed, or would have been
    int32_t n_rows = 0;    // in the slot now; 0: nothing was put there
    std::string fallback;  // why nothing can be: declined | restore_failed | ...
};

// Composes prompts with the broker's own engine and puts their rows into a llama-server's slots.
// Blocks while it does. Calls for different slots may run at the same time.
class SlotComposer {
public:
    // Checks first that the server has the model of `service` and takes slots that others wrote.
    // `slot` is idle; what it holds afterwards is of no use.
    static Result<std::unique_ptr<SlotComposer>> open(Service& service,
                                                      const LlamaServerClient& server,
                                                      const ServerProps& props, SlotFolder& folder,
                                                      int32_t slot, const std::stop_token& stop);

    // Composes a prompt into the file of the lease's slot. `ms_per_token`: what the server takes to
    // compute a token of a prompt, where that is known. After a stop it is not needed any more.
    SlotFill compose(const SlotLease& lease, GenerateRequest request,
                     std::optional<double> ms_per_token, const std::stop_token& stop);
    // Has the server take what was composed, all `n_tokens` of it, into the slot. kOverloaded, and
    // it was not asked, while it chooses slots.
    Status restore(SlotLease& lease, int32_t n_tokens);

private:
    SlotComposer(Service& service, const LlamaServerClient& server, SlotFileForm form,
                 SlotFolder& folder, int32_t n_slots);

    Service& service_;
    const LlamaServerClient& server_;
    // One a slot: whoever has the slot writes its file.
    std::vector<std::shared_ptr<SlotFileWriter>> files_;
};

}  // namespace spolia
