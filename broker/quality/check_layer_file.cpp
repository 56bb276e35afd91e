#include "broker/quality/check_layer_file.h"

#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

#include "broker/log.h"
#include "broker/wire/json.h"

namespace spolia {
namespace {

Error io_error(const std::filesystem::path& path, const std::string& why) {
    return {ErrorCode::kIo, "can't write the check layer to " + path.string() + ": " + why};
}

}  // namespace

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
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) return io_error(path, error.message());
    std::filesystem::path draft = path;
    draft += ".new";
    std::ofstream file(draft);
    file << json.dump(2) << '\n';
    file.close();
    if (!file) return io_error(path, "is the disk full, or the folder not ours?");
    std::filesystem::rename(draft, path, error);
    if (error) return io_error(path, error.message());
    return {};
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
