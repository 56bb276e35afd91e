#pragma once

#include <filesystem>
#include <vector>

#include "broker/guard/guard.h"
#include "index/fingerprint.h"
#include "index/result.h"

namespace spolia {

// Where a model's calibration is kept: beside its folder of blocks. Empty where the cache has no
// directory.
std::filesystem::path guard_file(const std::filesystem::path& cache_directory, const Key128& model);

// kNotFound: no such file. kCorrupt: see parse_guard_state().
Result<std::vector<RungRecord>> read_guard_file(const std::filesystem::path& path,
                                                const Key128& model, const GuardBudget& budget);
// The same, where no directory and no file are nothing known.
Result<std::vector<RungRecord>> known_rungs(const std::filesystem::path& cache_directory,
                                            const Key128& model, const GuardBudget& budget);
Status write_guard_file(const std::filesystem::path& path, const Key128& model,
                        const GuardBudget& budget, const std::vector<RungRecord>& rungs);

}  // namespace spolia
