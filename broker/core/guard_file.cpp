#include "broker/core/guard_file.h"

#include <optional>
#include <string>
#include <utility>

#include "broker/wire/guard_state.h"
#include "index/whole_file.h"

namespace spolia {

std::filesystem::path guard_file(const std::filesystem::path& cache_directory,
                                 const Key128& model) {
    if (cache_directory.empty()) return {};
    return cache_directory / (model.hex() + ".guard.json");
}

Result<std::vector<RungRecord>> read_guard_file(const std::filesystem::path& path,
                                                const Key128& model, const GuardBudget& budget) {
    const std::optional<std::string> text = read_whole_file(path);
    if (!text) return Error{ErrorCode::kNotFound, "no calibration at " + path.string()};
    Result<std::vector<RungRecord>> rungs = parse_guard_state(*text, model, budget);
    if (rungs) return rungs;
    return Error{rungs.error().code,
                 "the guard's calibration in " + path.string() + " " + rungs.error().message};
}

Result<std::vector<RungRecord>> known_rungs(const std::filesystem::path& cache_directory,
                                            const Key128& model, const GuardBudget& budget) {
    const std::filesystem::path path = guard_file(cache_directory, model);
    if (path.empty()) return std::vector<RungRecord>();
    Result<std::vector<RungRecord>> rungs = read_guard_file(path, model, budget);
    const bool none = !rungs && rungs.error().code == ErrorCode::kNotFound;
    return none ? std::vector<RungRecord>() : std::move(rungs);
}

Status write_guard_file(const std::filesystem::path& path, const Key128& model,
                        const GuardBudget& budget, const std::vector<RungRecord>& rungs) {
    return replace_file(path, guard_state_json(model, budget, rungs), "the guard's calibration");
}

}  // namespace spolia
