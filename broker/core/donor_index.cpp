#include "broker/core/donor_index.h"

#include <utility>

#include "broker/log.h"
#include "index/hashed_embedder.h"

namespace spolia {
namespace {

// Without a file nothing can fail.
std::unique_ptr<VectorIndex> open_vectors(const TextEmbedder& embedder) {
    return VectorIndex::open({}, embedder.fingerprint(), embedder.n_dims()).value();
}

}  // namespace

DonorIndex::DonorIndex(const TextModel& text, const Key128& model, const DonorOptions& options)
    : text_(text),
      model_(model),
      options_(options),
      embedder_(make_hashed_embedder()),
      vectors_(open_vectors(*embedder_)) {}

Key128 DonorIndex::partition_of(const std::string& tenant) const {
    return chunk_key({model_, tenant}, {});
}

bool DonorIndex::knows(const Key128& key) const {
    MutexLock lock(mutex_);
    return known_.contains(key);
}

std::shared_ptr<const std::vector<Token>> DonorIndex::tokens_of(const Key128& key) const {
    MutexLock lock(mutex_);
    const auto found = known_.find(key);
    return found == known_.end() ? nullptr : found->second.tokens;
}

std::vector<float> DonorIndex::embed(std::span<const Token> tokens) const {
    std::string text;
    for (const Token token : tokens) text += text_.piece(token);
    const std::string_view view = text;
    Result<std::vector<float>> vector = embedder_->embed({&view, 1});
    return vector ? std::move(vector).value() : std::vector<float>();
}

std::vector<Donor> DonorIndex::find(const std::string& tenant, std::span<const Token> prompt,
                                    std::span<const Segment> segments, const FindResidence& find) {
    std::vector<Donor> donors;
    if (!options_.enabled) return donors;
    const Key128 partition = partition_of(tenant);
    for (size_t part = 0; part < segments.size(); ++part) {
        const Segment& segment = segments[part];
        if (segment.role != SegmentRole::kChunk) continue;
        const auto tokens = prompt.subspan(segment.span.begin, segment.span.size());
        const bool absent = !present(find(segment.key, tokens));
        if (!absent && knows(segment.key)) continue;
        const std::vector<float> vector = embed(tokens);
        if (absent) {
            const std::vector<VectorHit> hits =
                vectors_->search(partition, vector, options_.candidates_max + 1);
            std::optional<Donor> donor = best_donor(part, segment.span, prompt, hits, find);
            if (donor) donors.push_back(*std::move(donor));
        }
        add(partition, segment.key, tokens, vector);
    }
    return donors;
}

std::optional<Donor> DonorIndex::best_donor(size_t part, TokenSpan chunk,
                                            std::span<const Token> prompt,
                                            std::span<const VectorHit> candidates,
                                            const FindResidence& find) const {
    std::optional<Donor> best;
    for (const VectorHit& hit : candidates) {
        if (hit.score < options_.similarity_min) break;
        const auto tokens = tokens_of(hit.id);
        if (tokens == nullptr || !present(find(hit.id, *tokens))) continue;
        std::optional<Donor> donor =
            make_donor(part, chunk, prompt, make_donor_text(text_, hit.id, *tokens));
        if (donor && (!best || donor->n_rows() > best->n_rows())) best = std::move(donor);
    }
    return best;
}

void DonorIndex::add(const std::string& tenant, const Key128& key, std::span<const Token> tokens) {
    if (!options_.enabled || knows(key)) return;
    add(partition_of(tenant), key, tokens, embed(tokens));
}

void DonorIndex::add(const Key128& partition, const Key128& key, std::span<const Token> tokens,
                     std::span<const float> vector) {
    std::optional<std::pair<Key128, Key128>> oldest;  // partition, key
    {
        MutexLock lock(mutex_);
        auto copy = std::make_shared<const std::vector<Token>>(tokens.begin(), tokens.end());
        if (!known_.try_emplace(key, Known{partition, std::move(copy)}).second) return;
        by_age_.push_back(key);
        if (known_.size() > options_.texts_max) {
            oldest.emplace(known_.at(by_age_.front()).partition, by_age_.front());
            known_.erase(by_age_.front());
            by_age_.pop_front();
        }
    }
    if (oldest) vectors_->remove(oldest->first, oldest->second);
    if (const Status added = vectors_->add(partition, key, vector); !added) {
        log_event(LogLevel::kWarning, added.error().message);
    }
}

void DonorIndex::add_all(const BlockStore& store) {
    if (!options_.enabled) return;
    const KeyScope scope{model_, {}};
    for (const BlockStore::Listing& block : store.list(options_.texts_max)) {
        const BlockMeta& meta = block.meta;
        if (meta.provenance != Provenance::kIsolated) continue;
        if (chunk_key(scope, meta.tokens) == meta.key) add({}, meta.key, meta.tokens);
    }
}

}  // namespace spolia
