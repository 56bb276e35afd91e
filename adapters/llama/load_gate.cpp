#include "adapters/llama/load_gate.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "adapters/llama/fused_prefill.h"
#include "adapters/llama/span_prefill.h"

namespace spolia {
namespace {

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2g", value);
    return text;
}

Status check_full(SequenceCache& cache, const RopeSpec& rope, std::span<const Token> tokens,
                  BlendGraph& graph, GateReport& report) {
    if (Status status = cache.append(0, tokens, nullptr); !status) return status;
    const std::vector<float> dense(cache.logits(0).begin(), cache.logits(0).end());
    if (Status status = cache.place(0, static_cast<int32_t>(tokens.size()), 0, {}, rope); !status) {
        return status;
    }
    PrefillPlan plan;
    plan.tokens = tokens;
    const Result<PrefillRows> rows = prefill_rows(plan, cache.n_cells(), cache.layout());
    if (!rows) return rows.error();
    const std::vector<KvSlab> slabs = cache.slabs(0);
    PrefillReport ignored;
    if (Status status = fused_prefill(graph, slabs, plan, *rows, {}, cache.logits(0), ignored);
        !status) {
        return status;
    }
    report.full_kl = kl_divergence(dense, cache.logits(0));
    cache.truncate(0, 0);
    if (!(report.full_kl <= report.full_kl_max)) {
        return Error{
            ErrorCode::kUnsupported,
            "recomputing every row differs from llama_decode: KL " + number(report.full_kl)};
    }
    return {};
}

Status check_rotation(SequenceCache& cache, const RopeSpec& rope, std::span<const Token> tokens,
                      std::span<const Token> sink, IsolatedEncoder* encoder, GateReport& report) {
    BlockMeta meta;
    meta.layout = cache.layout();
    meta.tokens.assign(tokens.begin(), tokens.end());
    Result<std::unique_ptr<KvBlock>> block = encoder != nullptr
                                                 ? encoder->encode(meta, rope, {})
                                                 : span_encode(cache, 0, sink, meta, rope, {});
    if (!block) return block.error();

    const int32_t target = cache.n_cells() / 2;
    std::vector<Token> behind_sink(sink.begin(), sink.end());
    behind_sink.insert(behind_sink.end(), tokens.begin(), tokens.end());
    if (Status status = cache.compute_at(0, behind_sink, target); !status) return status;
    const int32_t n_sink = static_cast<int32_t>(sink.size());
    const std::unique_ptr<KvBlock> there = copy_rows(cache, 0, n_sink, meta);
    cache.truncate(0, 0);
    shift_block(**block, rope, target + n_sink);
    const KvBlock &rotated = **block, &expected = *there;
    report.rotation_error = relative_error(rotated.k(0), expected.k(0));
    for (int32_t layer = 0; layer < cache.layout().n_layer; ++layer) {
        report.block_error =
            std::max({report.block_error, relative_error(rotated.k(layer), expected.k(layer)),
                      relative_error(rotated.v(layer), expected.v(layer))});
    }
    if (!(report.rotation_error <= kGateRotationErrorMax) ||
        !(report.block_error <= report.block_error_max)) {
        return Error{
            ErrorCode::kUnsupported,
            "a rotated block differs from the same chunk encoded at its position: relative error " +
                number(report.rotation_error) + " in the first layer, " +
                number(report.block_error) + " in the worst"};
    }
    return {};
}

}  // namespace

Status run_load_gate(SequenceCache& cache, const RopeSpec& rope, std::span<const Token> tokens,
                     std::span<const Token> sink, BlendGraph* graph, IsolatedEncoder* encoder,
                     bool rounded, GateReport& report) {
    report.full_kl_max = rounded ? kGateRoundedKlMax : kGateKlMax;
    report.block_error_max = rounded ? kGateRoundedBlockErrorMax : kGateBlockErrorMax;
    if (graph != nullptr) {
        if (Status status = check_full(cache, rope, tokens, *graph, report); !status) return status;
    }
    return check_rotation(cache, rope, tokens, sink, encoder, report);
}

}  // namespace spolia
