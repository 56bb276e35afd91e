#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace spolia {

// Random numbers that are the same on every platform and with every standard library
// (SplitMix64), so that a seed names one text for good.
class TaskRandom {
public:
    explicit TaskRandom(uint64_t seed) : state_(seed) {}

    uint64_t next();
    // Uniform in [0, n); n > 0.
    size_t below(size_t n);
    // True in `percent` of 100 cases.
    bool chance(uint32_t percent) { return below(100) < percent; }

    template <typename T>
    const T& pick(std::span<const T> from) {
        return from[below(from.size())];
    }
    template <typename T>
    void shuffle(std::span<T> values) {
        for (size_t n = values.size(); n > 1; --n) std::swap(values[n - 1], values[below(n)]);
    }

private:
    uint64_t state_;
};

// A seed of its own for each (seed, index).
uint64_t mix_seed(uint64_t seed, uint64_t index);

}  // namespace spolia
