#pragma once

#include <span>

#include "adapters/text_model.h"
#include "broker/quality/prompt.h"
#include "broker/quality/quality_bench.h"
#include "index/result.h"
#include "reuse/engine.h"
#include "reuse/layer_calibration.h"

namespace spolia {

// Computes each prompt densely and compares its chunks' rows with those of their blocks at every
// layer, as checks would. Uses the engine's sequence 0. Fails with kUnsupported where the model's
// selectors can't have check layers.
Result<LayerCalibration> measure_layers(Engine& engine, const TextModel& text,
                                        std::span<const QualityPrompt> prompts,
                                        const QualityProgress& progress);

}  // namespace spolia
