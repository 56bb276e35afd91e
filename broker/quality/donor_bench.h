#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/text_model.h"
#include "broker/quality/task_file.h"
#include "broker/tasks/edits.h"
#include "index/result.h"
#include "reuse/engine.h"

namespace spolia {

// Prompts whose chunks are known in other versions only, served in one way.
struct DonorCalls {
    int32_t n = 0;
    int32_t n_right = 0;       // answers
    int32_t n_same = 0;        // answers that are dense's, right or wrong
    int32_t n_same_first = 0;  // first tokens that are dense's
    std::vector<double> kl;    // of the first token, dense to this
    int64_t n_chunk_rows = 0;
    int64_t n_reused = 0;   // chunk rows that were neither computed nor recomputed
    int64_t n_blended = 0;  // recomputed

    double kl_mean() const;
    double reuse() const;  // of chunk rows
};

// How a prompt is served.
enum class DonorWay {
    kDense,
    kNone,      // equal tokens of the other versions, nothing recomputed
    kAdaptive,  // equal tokens of the other versions, mended
    kAsItIs,    // the other versions in place of the chunks, mended: what semantic caches do
};
inline constexpr std::array kDonorWays = {DonorWay::kDense, DonorWay::kNone, DonorWay::kAdaptive,
                                          DonorWay::kAsItIs};
std::string_view to_string(DonorWay way);

struct EditFigures {
    EditKind edit = EditKind::kWords5;
    std::array<DonorCalls, kDonorWays.size()> ways;  // as kDonorWays
};

struct DonorBenchOptions {
    int32_t tokens_max = 8;   // of an answer
    int32_t check_layer = 1;  // of adaptive
    uint64_t seed = 1;        // of the edits
};

using DonorProgress = std::function<void(size_t n_done, size_t n_all)>;

// Asks every question of the tasks once for each kind of edit, and serves it in all ways; another
// version of each chunk was encoded before, alone. Fails where a prompt does not fit.
Result<std::vector<EditFigures>> measure_donors(Engine& engine, const TextModel& text,
                                                const std::vector<QualityTask>& tasks,
                                                const DonorBenchOptions& options,
                                                const DonorProgress& progress);

}  // namespace spolia
