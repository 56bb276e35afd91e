#pragma once

#include <cstddef>
#include <set>

#include "broker/core/cost_model.h"
#include "broker/core/encode_queue.h"
#include "broker/core/receipt_log.h"
#include "broker/core/sequence_table.h"
#include "broker/guard/guard.h"
#include "index/fingerprint.h"
#include "index/thread_annotations.h"

namespace spolia {

// What the engine thread changes and other threads look at. Never locked during an engine call.
struct CoreState {
    static constexpr size_t kReceiptsMax = 1024;

    CoreState(int32_t n_sequences, CostModel cost_model, size_t encode_queue_max,
              const GuardBudget& budget)
        : sequences(n_sequences),
          costs(cost_model),
          encode_queue(encode_queue_max),
          guard(budget),
          receipts(kReceiptsMax) {}

    Mutex mutex;
    SequenceTable sequences GUARDED_BY(mutex);
    CostModel costs GUARDED_BY(mutex);
    EncodeQueue encode_queue GUARDED_BY(mutex);
    // Chunks of registrations that wait, each as often as it is registered.
    std::multiset<Key128> registering GUARDED_BY(mutex);
    Guard guard GUARDED_BY(mutex);
    ReceiptLog receipts GUARDED_BY(mutex);
};

}  // namespace spolia
