#pragma once

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "index/text_embedder.h"
#include "index/words.h"

namespace spolia::test {

// Counts words by their stems' hashes: texts are alike when they share words.
class WordEmbedder final : public TextEmbedder {
public:
    explicit WordEmbedder(uint64_t version = 1) : version_(version) {}

    int32_t n_dims() const override { return 64; }
    Key128 fingerprint() const override { return {0, version_}; }
    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override {
        std::vector<float> vectors;
        for (const std::string_view text : texts) {
            std::vector<float> vector(64);
            for_each_word(text, [&](uint64_t stem, size_t, std::string_view) {
                vector[(stem * version_) % 64] += 1;
            });
            float length = 0;
            for (const float x : vector) length += x * x;
            for (float& x : vector) x = length > 0 ? x / std::sqrt(length) : 0;
            vectors.insert(vectors.end(), vector.begin(), vector.end());
        }
        return vectors;
    }

private:
    uint64_t version_;
};

}  // namespace spolia::test
