#include "adapters/llama/available_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

namespace spolia {
namespace {

// A file that holds one number; nullopt where there is none, or "max".
std::optional<uint64_t> number_in(const char* path) {
    uint64_t number = 0;
    return std::ifstream(path) >> number ? std::optional(number) : std::nullopt;
}

}  // namespace

std::optional<uint64_t> available_memory() {
    std::optional<uint64_t> available;
    std::ifstream info("/proc/meminfo");
    for (std::string key; info >> key && !available;) {
        uint64_t kib = 0;
        if (key == "MemAvailable:" && info >> kib) available = kib << 10;
        info.ignore(256, '\n');
    }
    const auto limit = number_in("/sys/fs/cgroup/memory.max");
    const auto used = number_in("/sys/fs/cgroup/memory.current");
    if (!limit || !used) return available;
    return std::min(available.value_or(UINT64_MAX), *limit - std::min(*limit, *used));
}

}  // namespace spolia
