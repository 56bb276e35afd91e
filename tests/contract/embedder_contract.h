#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/text_embedder.h"

namespace spolia::testing {

// An embedder to put to the test, and one whose vectors are others.
struct EmbedderUnderTest {
    std::string name;
    std::function<std::unique_ptr<TextEmbedder>()> make, make_other;
};
inline void PrintTo(const EmbedderUnderTest& each, std::ostream* out) { *out << each.name; }

// What index/text_embedder.h promises of every embedder.
class EmbedderContract : public ::testing::TestWithParam<EmbedderUnderTest> {
protected:
    void SetUp() override;

    // Fails the test, and gives zeros, where the embedder does.
    std::vector<float> embed(std::span<const std::string> texts) const;
    std::vector<float> embed_one(const std::string& text) const { return embed({&text, 1}); }

    std::unique_ptr<TextEmbedder> embedder_;
};

}  // namespace spolia::testing
