#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spolia {

// How often each feature of a text was met, in the order in which they were met first. A feature is
// its hash: those of the same hash are one.
class FeatureCounts {
public:
    struct Feature {
        uint64_t hash = 0;
        uint32_t count = 0;
        float weight = 0;
    };

    // Counts a feature `n` more times and returns its place among all(). `weight` is that of the
    // first time.
    size_t add(uint64_t hash, float weight, uint32_t n = 1) {
        size_t slot = hash & (slots_.size() - 1);
        while (slots_[slot] != 0 && features_[slots_[slot] - 1].hash != hash) {
            slot = (slot + 1) & (slots_.size() - 1);
        }
        if (slots_[slot] != 0) {
            features_[slots_[slot] - 1].count += n;
            return slots_[slot] - 1;
        }
        features_.push_back({hash, n, weight});
        slots_[slot] = static_cast<uint32_t>(features_.size());
        if (features_.size() * 2 > slots_.size()) grow();
        return features_.size() - 1;
    }
    std::span<const Feature> all() const { return features_; }
    void clear() {
        features_.clear();
        slots_.assign(slots_.size(), 0);
    }

private:
    void grow() {
        slots_.assign(slots_.size() * 2, 0);
        for (size_t i = 0; i < features_.size(); ++i) {
            size_t slot = features_[i].hash & (slots_.size() - 1);
            while (slots_[slot] != 0) slot = (slot + 1) & (slots_.size() - 1);
            slots_[slot] = static_cast<uint32_t>(i + 1);
        }
    }

    std::vector<Feature> features_;
    std::vector<uint32_t> slots_ = std::vector<uint32_t>(1024);  // places among features_, plus one
};

}  // namespace spolia
