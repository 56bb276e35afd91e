#include "broker/rag/rank_fusion.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>

namespace spolia {
namespace {

constexpr double kSmoothing = 60;

}  // namespace

std::vector<FusedRank> fuse_ranks(std::span<const std::vector<Key128>> rankings) {
    std::unordered_map<Key128, double, Key128Hash> scores;
    for (const std::vector<Key128>& ranking : rankings) {
        for (size_t i = 0; i < ranking.size(); ++i) {
            scores[ranking[i]] += 1 / (kSmoothing + static_cast<double>(i + 1));
        }
    }
    std::vector<FusedRank> fused;
    fused.reserve(scores.size());
    for (const auto& [id, score] : scores) fused.push_back({id, score});
    std::ranges::sort(fused, [](const FusedRank& a, const FusedRank& b) {
        return a.score != b.score ? a.score > b.score : a.id < b.id;
    });
    return fused;
}

}  // namespace spolia
