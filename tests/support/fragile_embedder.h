#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/word_embedder.h"

namespace spolia::test {

// A WordEmbedder that fails where it is told to.
class FragileEmbedder final : public TextEmbedder {
public:
    explicit FragileEmbedder(std::optional<Error> its_failure = std::nullopt)
        : failure(std::move(its_failure)) {}

    int32_t n_dims() const override { return words_.n_dims(); }
    Key128 fingerprint() const override { return words_.fingerprint(); }
    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override {
        if (failure) return *failure;
        return words_.embed(texts);
    }

    std::optional<Error> failure;

private:
    const WordEmbedder words_;
};

}  // namespace spolia::test
