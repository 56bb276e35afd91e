#include "broker/cli/index_workload.h"

#include <algorithm>
#include <cmath>

namespace spolia {
namespace {

constexpr size_t kClusterSize = 100;
// Directions that clusters reach into, and how many of them each does.
constexpr size_t kDirections = 256;
constexpr size_t kDirectionsEach = 16;
// Lengths against 1 of a cluster's centre: in its own directions together, and in all others.
constexpr float kReach = 0.7f;
constexpr float kNoise = 0.2f;

constexpr size_t kVocabulary = 20'000;

void scale_to(float* vector, size_t n, float length) {
    float sum = 0;
    for (size_t i = 0; i < n; ++i) sum += vector[i] * vector[i];
    const float scale = length / std::sqrt(sum);
    for (size_t i = 0; i < n; ++i) vector[i] *= scale;
}

std::string make_word(TaskRandom& random) {
    std::string word;
    const size_t length = 2 + random.below(5) + random.below(5);
    for (size_t i = 0; i < length; ++i) word += static_cast<char>('a' + random.below(26));
    return word;
}

}  // namespace

VectorWorkload::VectorWorkload(uint64_t seed, size_t n_dims, size_t n_vectors)
    : n_dims_(n_dims), n_clusters_(std::max<size_t>(1, n_vectors / kClusterSize)), random_(seed) {
    for (size_t i = 0; i < n_clusters_; ++i) append_random(centres_, 1);
    for (size_t i = 0; i < kDirections; ++i) append_random(directions_, 1);
}

// Nearly so: a sum of four uniform numbers, of variance 1.
float VectorWorkload::normal() {
    const uint64_t draw = random_.next();
    float sum = 0;
    for (int shift = 0; shift < 64; shift += 16) {
        sum += static_cast<float>(draw >> shift & 0xffff) / 65535.0f;
    }
    return (sum - 2) * std::sqrt(3.0f);
}

void VectorWorkload::append_random(std::vector<float>& vectors, float length) {
    const size_t begin = vectors.size();
    for (size_t i = 0; i < n_dims_; ++i) vectors.push_back(normal());
    scale_to(vectors.data() + begin, n_dims_, length);
}

void VectorWorkload::add_direction(float* vector, size_t direction, float factor) const {
    const float* along = directions_.data() + direction % kDirections * n_dims_;
    for (size_t i = 0; i < n_dims_; ++i) vector[i] += factor * along[i];
}

std::vector<float> VectorWorkload::next(size_t n) {
    std::vector<float> vectors;
    vectors.reserve(n * n_dims_);
    while (vectors.size() < n * n_dims_) {
        append_random(vectors, kNoise);
        float* vector = &vectors.back() + 1 - n_dims_;
        const size_t cluster = random_.below(n_clusters_);
        const float* centre = centres_.data() + cluster * n_dims_;
        for (size_t i = 0; i < n_dims_; ++i) vector[i] += centre[i];
        for (size_t j = 0; j < kDirectionsEach; ++j) {
            const float factor = kReach / std::sqrt(static_cast<float>(kDirectionsEach));
            add_direction(vector, mix_seed(cluster, j), factor * normal());
        }
        scale_to(vector, n_dims_, 1);
    }
    return vectors;
}

std::vector<std::string> make_texts(uint64_t seed, size_t n_texts, size_t n_bytes) {
    TaskRandom random(seed);
    std::vector<std::string> words;
    for (size_t i = 0; i < kVocabulary; ++i) words.push_back(make_word(random));
    std::vector<std::string> texts(n_texts);
    for (std::string& text : texts) {
        text.reserve(n_bytes + 16);
        while (text.size() < n_bytes) {
            // Uniform in the rank's logarithm: the word of rank r comes in proportion to 1 / r.
            const double uniform = static_cast<double>(random.next() >> 11) * 0x1p-53;
            const auto rank =
                static_cast<size_t>(std::pow(static_cast<double>(kVocabulary), uniform)) - 1;
            text += words[std::min(rank, kVocabulary - 1)];
            text += random.chance(8) ? ". " : " ";
        }
    }
    return texts;
}

}  // namespace spolia
