#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/donor.h"
#include "broker/core/residence.h"
#include "index/fingerprint.h"
#include "index/segment.h"
#include "index/text_embedder.h"
#include "index/thread_annotations.h"
#include "index/token.h"
#include "index/vector_index.h"
#include "reuse/block_store.h"

namespace spolia {

struct DonorOptions {
    bool enabled = true;
    size_t texts_max = 32768;     // of all tenants; the oldest go first
    size_t candidates_max = 4;    // that a chunk is compared with, token by token
    float similarity_min = 0.6f;  // of candidates; whether they are of use, their tokens say
};

// The texts of chunks that were seen, found by likeness: those with a block can be donors for a
// chunk that has none. A tenant's chunks are found by that tenant only. Any thread.
class DonorIndex {
public:
    DonorIndex(const TextModel& text, const Key128& model, const DonorOptions& options);

    // Donors for the chunks of a prompt that are nowhere. All chunks are known from here on.
    // Borrows nothing.
    std::vector<Donor> find(const std::string& tenant, std::span<const Token> prompt,
                            std::span<const Segment> segments, const FindResidence& find);
    // A chunk that no prompt had yet. Does nothing where it is known.
    void add(const std::string& tenant, const Key128& key, std::span<const Token> tokens);
    // The blocks of the store that are the default tenant's: whose others are, keys don't tell.
    void add_all(const BlockStore& store);

private:
    struct Known {
        Key128 partition;
        std::shared_ptr<const std::vector<Token>> tokens;
    };

    Key128 partition_of(const std::string& tenant) const;
    bool knows(const Key128& key) const;
    std::vector<float> embed(std::span<const Token> tokens) const;
    void add(const Key128& partition, const Key128& key, std::span<const Token> tokens,
             std::span<const float> vector);
    std::shared_ptr<const std::vector<Token>> tokens_of(const Key128& key) const;
    std::optional<Donor> best_donor(size_t part, TokenSpan chunk, std::span<const Token> prompt,
                                    std::span<const VectorHit> candidates,
                                    const FindResidence& find) const;

    const TextModel& text_;
    const Key128 model_;
    const DonorOptions options_;
    const std::unique_ptr<const TextEmbedder> embedder_;
    const std::unique_ptr<VectorIndex> vectors_;

    mutable Mutex mutex_;
    std::unordered_map<Key128, Known, Key128Hash> known_ GUARDED_BY(mutex_);
    std::deque<Key128> by_age_ GUARDED_BY(mutex_);  // of known_, the oldest first
};

}  // namespace spolia
