#pragma once

#include <cmath>
#include <random>
#include <span>
#include <vector>

#include "index/fingerprint.h"

namespace spolia::test {

inline Key128 numbered_key(uint64_t number) { return {7, number}; }

inline std::vector<float> unit_vector(std::mt19937_64& random, size_t n_dims) {
    std::normal_distribution<float> draw;
    std::vector<float> vector(n_dims);
    float sum = 0;
    for (float& x : vector) {
        x = draw(random);
        sum += x * x;
    }
    for (float& x : vector) x /= std::sqrt(sum);
    return vector;
}

// Unit vectors about centres, as embeddings lie: `spread` is how far, against 1 of a centre.
class Clusters {
public:
    Clusters(uint64_t seed, size_t n_clusters, size_t n_dims, float spread)
        : random_(seed), spread_(spread) {
        for (size_t i = 0; i < n_clusters; ++i) centres_.push_back(unit_vector(random_, n_dims));
    }

    std::vector<float> next() {
        std::vector<float> vector = centres_[random_() % centres_.size()];
        const std::vector<float> away = unit_vector(random_, vector.size());
        float sum = 0;
        for (size_t i = 0; i < vector.size(); ++i) {
            vector[i] += spread_ * away[i];
            sum += vector[i] * vector[i];
        }
        for (float& x : vector) x /= std::sqrt(sum);
        return vector;
    }

private:
    std::mt19937_64 random_;
    const float spread_;
    std::vector<std::vector<float>> centres_;
};

}  // namespace spolia::test
