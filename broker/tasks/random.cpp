#include "broker/tasks/random.h"

namespace spolia {

uint64_t TaskRandom::next() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

size_t TaskRandom::below(size_t n) {
    // What is left of the range behind the last multiple of n would favour small numbers.
    const uint64_t rest = (UINT64_MAX % n + 1) % n;
    for (;;) {
        const uint64_t value = next();
        if (value <= UINT64_MAX - rest) return static_cast<size_t>(value % n);
    }
}

uint64_t mix_seed(uint64_t seed, uint64_t index) {
    return TaskRandom(TaskRandom(seed).next() ^ index).next();
}

}  // namespace spolia
