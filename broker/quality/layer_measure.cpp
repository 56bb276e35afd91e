#include "broker/quality/layer_measure.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "broker/quality/prompt_runner.h"

namespace spolia {
namespace {

// The rows of a block as they stand in the prompt, without one that is computed anyway.
std::unique_ptr<KvBlock> placed_rows(const PlacedBlock& placed, int32_t n_rows,
                                     const RopeSpec& rope) {
    const KvBlock& block = *placed.block;
    BlockMeta meta = block.meta();
    const auto first = meta.tokens.begin() + placed.source_row;
    meta.tokens = {first, first + n_rows};
    auto rows = std::make_unique<KvBlock>(std::move(meta));
    const KvLayout& layout = block.meta().layout;
    const Rotation rotation(rope, placed.row - placed.source_row);
    const auto part = [&](std::span<const uint16_t> all, int32_t dim) {
        return all.subspan(static_cast<size_t>(placed.source_row) * static_cast<size_t>(dim),
                           static_cast<size_t>(n_rows) * static_cast<size_t>(dim));
    };
    for (int32_t layer = 0; layer < layout.n_layer; ++layer) {
        rotate_rows(rotation, part(block.k(layer), layout.k_dim).data(), rows->k(layer).data(),
                    n_rows, layout.k_dim);
        std::ranges::copy(part(block.v(layer), layout.v_dim), rows->v(layer).begin());
    }
    return rows;
}

// Adds to deviations[layer] those of the block's rows; the engine holds the dense prompt.
Status add_deviations(Engine& engine, const QualityPrompt& prompt, const PlacedBlock& placed,
                      std::vector<std::vector<float>>& deviations) {
    const auto n_prompt = static_cast<int32_t>(prompt.tokens.size());
    const int32_t n_rows = std::min(placed.n_rows, n_prompt - 1 - placed.row);
    if (n_rows <= 0) return {};
    const auto tokens = std::span(prompt.tokens)
                            .subspan(static_cast<size_t>(placed.row), static_cast<size_t>(n_rows));
    const Result<std::unique_ptr<KvBlock>> dense =
        engine.capture({.sequence = PromptRunner::kSequence,
                        .begin = placed.row,
                        .key = {},
                        .left_context = {},
                        .tokens = tokens});
    if (!dense.ok()) return dense.error();
    const auto old = placed_rows(placed, n_rows, engine.info().rope);
    for (size_t layer = 0; layer < deviations.size(); ++layer) {
        const std::vector<float> of_layer =
            row_deviations(**dense, *old, static_cast<int32_t>(layer), Deviation::kBoth);
        deviations[layer].insert(deviations[layer].end(), of_layer.begin(), of_layer.end());
    }
    return {};
}

Status measure(Engine& engine, PromptRunner& runner, const QualityPrompt& prompt,
               const ReusePolicy& none, LayerCalibration& calibration) {
    if (const Result<PromptRun> run = runner.dense(prompt); !run.ok()) return run.error();
    const Result<std::vector<PlacedBlock>> blocks = runner.placed_blocks(prompt, none);
    if (!blocks.ok()) return blocks.error();
    std::vector<std::vector<float>> deviations(static_cast<size_t>(engine.info().kv.n_layer));
    for (const PlacedBlock& block : *blocks) {
        // Where they were made, rows are dense already.
        if (block.exact || block.settled) continue;
        if (Status status = add_deviations(engine, prompt, block, deviations); !status) {
            return status;
        }
    }
    calibration.add(deviations);
    return {};
}

}  // namespace

Result<LayerCalibration> measure_layers(Engine& engine, const TextModel& text,
                                        std::span<const QualityPrompt> prompts,
                                        const QualityProgress& progress) {
    const ModelInfo& model = engine.info();
    if (model.support != ReuseSupport::kFused || model.kv.n_layer < 2) {
        return Error{
            ErrorCode::kUnsupported,
            "this model's selectors have no check layers: " +
                (model.support_reason.empty() ? "it has one layer" : model.support_reason)};
    }
    ReusePolicy none;
    none.fidelity = Fidelity::kFast;
    none.params.policy = "none";
    none.selector = make_selector(none.params, model.kv.n_layer).value();

    LayerCalibration calibration(model.kv.n_layer);
    // An answer of one token is known without decoding, which would add rows.
    PromptRunner runner(engine, text, 1);
    for (size_t i = 0; i < prompts.size(); ++i) {
        progress(i, prompts.size());
        if (Status status = measure(engine, runner, prompts[i], none, calibration); !status) {
            return Error{status.error().code, "task in line " + std::to_string(prompts[i].line) +
                                                  ": " + status.error().message};
        }
    }
    progress(prompts.size(), prompts.size());
    return calibration;
}

}  // namespace spolia
