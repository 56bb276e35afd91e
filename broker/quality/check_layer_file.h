#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "index/fingerprint.h"
#include "index/result.h"
#include "reuse/engine.h"
#include "reuse/layer_calibration.h"

namespace spolia {

// Where no calibration says otherwise: what CacheBlend's authors use.
inline constexpr int32_t kCheckLayerUncalibrated = 1;

// What `spolia calibrate` found for a model.
struct CheckLayerRecord {
    int32_t layer = kCheckLayerUncalibrated;
    int32_t n_prompts = 0;
    int64_t n_rows = 0;
    std::vector<LayerScore> scores;
};

// In the model's folder of blocks: CACHE_DIR/<fingerprint>/check_layer.json.
std::filesystem::path check_layer_file(const std::filesystem::path& cache_directory,
                                       const Key128& model);

// Makes the folders that are missing, and replaces the file in one step.
Status write_check_layer(const std::filesystem::path& path, const ModelInfo& model,
                         const CheckLayerRecord& record);

// kNotFound: no such file. kCorrupt: damaged, or of another model.
Result<int32_t> read_check_layer(const std::filesystem::path& path, const ModelInfo& model);

// The model's check layer: the calibrated one where there is a cache folder and a file in it. A
// file that can't be used is told in the log.
int32_t check_layer_of(const std::filesystem::path& cache_directory, const ModelInfo& model);

}  // namespace spolia
