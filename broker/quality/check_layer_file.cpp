#include "broker/quality/check_layer_file.h"

#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "broker/log.h"
#include "broker/wire/json.h"
#include "index/whole_file.h"

namespace spolia {

std::filesystem::path check_layer_file(const std::filesystem::path& cache_directory,
                                       const Key128& model) {
    return cache_directory / model.hex() / "check_layer.json";
}

Status write_check_layer(const std::filesystem::path& path, const ModelInfo& model,
                         const CheckLayerRecord& record) {
    Json layers = Json::array();
    for (const LayerScore& score : record.scores) {
        layers.push_back(
            {{"layer", score.layer}, {"auc", score.auc}, {"rank_correlation", score.correlation}});
    }
    const Json json = {{"model", model.fingerprint.hex()},
                       {"check_layer", record.layer},
                       {"prompts", record.n_prompts},
                       {"rows", record.n_rows},
                       {"layers", layers}};
    // Where it fails, so does what follows, and says why.
    std::error_code ignored;
    std::filesystem::create_directories(path.parent_path(), ignored);
    return replace_file(path, json.dump(2) + '\n', "the check layer");
}

Result<int32_t> read_check_layer(const std::filesystem::path& path, const ModelInfo& model) {
    std::ifstream file(path);
    if (!file) return Error{ErrorCode::kNotFound, "no check layer at " + path.string()};
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const Json json = Json::parse(text, nullptr, false);
    if (json.is_object() && json.value("model", Json()) == model.fingerprint.hex()) {
        const Json layer = json.value("check_layer", Json());
        if (layer.is_number_integer() && layer >= 1 && layer < model.kv.n_layer) {
            return layer.get<int32_t>();
        }
    }
    return Error{ErrorCode::kCorrupt, "the check layer in " + path.string() +
                                          " is damaged or another model's; run spolia calibrate"};
}

int32_t check_layer_of(const std::filesystem::path& cache_directory, const ModelInfo& model) {
    if (cache_directory.empty()) return kCheckLayerUncalibrated;
    const Result<int32_t> layer =
        read_check_layer(check_layer_file(cache_directory, model.fingerprint), model);
    if (layer.ok()) return *layer;
    if (layer.error().code != ErrorCode::kNotFound) {
        log_event(LogLevel::kWarning, layer.error().message);
    }
    return kCheckLayerUncalibrated;
}

}  // namespace spolia
