#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/tasks/random.h"

namespace spolia {

// Unit vectors that lie as embeddings do: in clusters of about a hundred, each of which reaches
// far in a few directions and little in all others. The same seed gives the same vectors
// everywhere.
class VectorWorkload {
public:
    // `n_vectors` is how many there are going to be; it sets the number of clusters.
    VectorWorkload(uint64_t seed, size_t n_dims, size_t n_vectors);

    size_t n_dims() const { return n_dims_; }
    // n vectors, one behind the other.
    std::vector<float> next(size_t n);

private:
    void append_random(std::vector<float>& vectors, float length);
    void add_direction(float* vector, size_t direction, float factor) const;
    float normal();

    const size_t n_dims_, n_clusters_;
    TaskRandom random_;
    std::vector<float> centres_, directions_;
};

// Texts of made-up words that are as frequent as words of a language are (Zipf's law), about
// `n_bytes` each.
std::vector<std::string> make_texts(uint64_t seed, size_t n_texts, size_t n_bytes);

}  // namespace spolia
