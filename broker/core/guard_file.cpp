#include "broker/core/guard_file.h"

#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "broker/core/whole_file.h"
#include "broker/wire/guard_state.h"

namespace spolia {

std::filesystem::path guard_file(const std::filesystem::path& cache_directory,
                                 const Key128& model) {
    if (cache_directory.empty()) return {};
    return cache_directory / (model.hex() + ".guard.json");
}

Result<std::vector<RungRecord>> read_guard_file(const std::filesystem::path& path,
                                                const Key128& model, const GuardBudget& budget) {
    std::ifstream file(path, std::ios::binary);
    if (!file) return Error{ErrorCode::kNotFound, "no calibration at " + path.string()};
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    Result<std::vector<RungRecord>> rungs = parse_guard_state(text, model, budget);
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
