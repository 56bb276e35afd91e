#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "adapters/text_model.h"
#include "anchors/kvcomm.h"
#include "broker/quality/encoded_chunks.h"
#include "broker/quality/engine_slice.h"
#include "broker/quality/prompt.h"
#include "broker/quality/team_way.h"
#include "index/result.h"

namespace spolia {

// Serves a team's calls as KVCOMM does (anchors/kvcomm.h), for a bench to compare with: each agent
// keeps its own note, every other chunk is a placeholder by its place in the prompt, and either all
// of them are predicted or the call is dense and becomes an anchor. Other than in the original the
// few tokens between chunks and the question are computed, not predicted. One thread.
class KvcommWay final : public TeamServer {
public:
    KvcommWay(Engine& engine, const TextModel& text, int32_t first_sequence, int32_t n_agents);

    Result<TeamCall> call(const QualityPrompt& prompt, size_t agent, std::span<const Token> said,
                          int32_t tokens_max) override;
    PoolSize pool() const override;

private:
    struct Chunk {
        size_t slot = 0;
        Segment segment;
        const KvBlock* base = nullptr;
    };
    // The chunks that are placeholders, with their bases: encoded alone, in nobody's time.
    Result<std::vector<Chunk>> placeholders(const QualityPrompt& prompt);
    // Empty where one of them can't be predicted.
    std::vector<std::unique_ptr<KvBlock>> predict(size_t agent, std::span<const Chunk> chunks);
    Status make_anchors(size_t agent, const QualityPrompt& prompt, std::span<const Chunk> chunks);
    int32_t n_kept(size_t agent, const QualityPrompt& prompt) const;

    EngineSlice engine_;
    const TextModel& text_;
    std::map<std::pair<size_t, size_t>, KvcommPlaceholder> placeholders_;  // by agent and slot
    EncodedChunks bases_;
    std::vector<std::vector<Token>> own_;  // of each agent: the rows of its own note, exact
};

}  // namespace spolia
