#include "index/feature_counts.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace spolia {
namespace {

TEST(FeatureCounts, CountLikeAMap) {
    FeatureCounts counts;
    for (int round = 0; round < 3; ++round) {
        std::mt19937_64 random(static_cast<uint64_t>(round));
        std::map<uint64_t, uint32_t> model;
        for (int i = 0; i < 20000; ++i) {
            const uint64_t hash = (random() % 5000) << (round * 20);  // many share a slot
            const auto n = static_cast<uint32_t>(random() % 3 + 1);
            const size_t place = counts.add(hash, static_cast<float>(hash % 7), n);
            model[hash] += n;
            ASSERT_EQ(counts.all()[place].hash, hash);
            ASSERT_EQ(counts.all()[place].count, model[hash]);
        }
        ASSERT_EQ(counts.all().size(), model.size());
        for (const FeatureCounts::Feature& feature : counts.all()) {
            EXPECT_EQ(feature.weight, static_cast<float>(feature.hash % 7));
        }
        counts.clear();
        EXPECT_TRUE(counts.all().empty());
    }
}

}  // namespace
}  // namespace spolia
