#include "broker/rag/collection_search.h"

#include <algorithm>
#include <utility>

#include "broker/log.h"
#include "broker/rag/rank_fusion.h"

namespace spolia {
namespace {

// The index is this collection's alone.
constexpr Key128 kPartition{};
// How far each ranking is looked at: what is further down in both is hardly among the best.
constexpr size_t kCandidatesMin = 50;
constexpr size_t kCandidatesPerHit = 4;

// Whatever is wrong with the file costs time only.
Result<std::unique_ptr<VectorIndex>> open_index(const TextEmbedder& embedder,
                                                const std::filesystem::path& file) {
    VectorIndexOptions options;
    options.file = file;
    Result<std::unique_ptr<VectorIndex>> index =
        VectorIndex::open(options, embedder.fingerprint(), embedder.n_dims());
    if (!index.ok() && !file.empty()) {
        log_event(LogLevel::kWarning,
                  index.error().message + "; it is built from the collection, and not kept");
        return VectorIndex::open({}, embedder.fingerprint(), embedder.n_dims());
    }
    if (index.ok() && !(*index)->open_warning().empty()) {
        log_event(LogLevel::kWarning,
                  (*index)->open_warning() + ", to be filled from the collection");
    }
    return index;
}

}  // namespace

CollectionSearch::CollectionSearch(std::unique_ptr<CollectionDatabase> collection,
                                   const Key128& embedder, std::unique_ptr<VectorIndex> vectors)
    : collection_(std::move(collection)), embedder_(embedder), vectors_(std::move(vectors)) {
    for (const VectorName& name : vectors_->list()) known_.insert(name.id);
}

CollectionSearch::~CollectionSearch() {
    if (collection_->was_moved()) return;
    if (const Status saved = vectors_->save(); !saved.ok()) {
        log_event(LogLevel::kWarning, saved.error().message + "; it will be built again");
    }
}

Result<std::unique_ptr<CollectionSearch>> CollectionSearch::open(
    std::unique_ptr<CollectionDatabase> collection, const TextEmbedder& embedder,
    const std::filesystem::path& index_file) {
    Result<std::unique_ptr<VectorIndex>> vectors = open_index(embedder, index_file);
    if (!vectors.ok()) return vectors.error();
    std::unique_ptr<CollectionSearch> search(
        new CollectionSearch(std::move(collection), embedder.fingerprint(), *std::move(vectors)));
    const Result<Transaction> snapshot = search->collection_->snapshot();
    if (!snapshot.ok()) return snapshot.error();
    if (Status read = search->follow(); !read.ok()) return read.error();
    return search;
}

Status CollectionSearch::follow() {
    const Result<int64_t> version = collection_->version();
    if (!version.ok()) return version.error();
    if (*version == version_) return {};
    const auto found = collection_->vector_places(embedder_);
    if (!found.ok()) return found.error();
    std::unordered_set<Key128, Key128Hash> gone = known_;
    std::vector<CollectionDatabase::VectorPlace> fresh;
    for (const CollectionDatabase::VectorPlace& place : found->places) {
        if (gone.erase(place.chunk) == 0) fresh.push_back(place);
    }
    // known_ is what the index holds at any time: reading may fail anywhere.
    Status read = collection_->read_vectors(
        fresh, [&](const Key128& key, std::span<const float> vector) -> Status {
            if (Status added = vectors_->add(kPartition, key, vector); !added.ok()) return added;
            known_.insert(key);
            return {};
        });
    if (!read.ok()) return read;
    for (const Key128& key : gone) {
        vectors_->remove(kPartition, key);
        known_.erase(key);
    }
    n_foreign_ = found->n_without;
    version_ = *version;
    return {};
}

Status CollectionSearch::check_embedder() const {
    if (n_foreign_ == 0) return {};
    const auto n_all = static_cast<size_t>(n_foreign_) + known_.size();
    return Error{ErrorCode::kUnsupported,
                 std::to_string(n_foreign_) + " of the collection's " + std::to_string(n_all) +
                     " chunks have no vector of the embedder in use: search with the embedder that "
                     "they were ingested with, or ingest them with the one in use"};
}

std::vector<Key128> CollectionSearch::ranked_by_vector(std::span<const float> query,
                                                       size_t n_max) const {
    std::vector<Key128> keys;
    for (const VectorHit& hit : vectors_->search(kPartition, query, n_max)) {
        if (hit.score > 0) keys.push_back(hit.id);
    }
    return keys;
}

Result<std::vector<RetrievedChunk>> CollectionSearch::search(std::string_view query,
                                                             std::span<const float> vector,
                                                             size_t k) {
    const Result<Transaction> snapshot = collection_->snapshot();
    if (!snapshot.ok()) return snapshot.error();
    if (Status followed = follow(); !followed.ok()) return followed.error();
    if (Status same = check_embedder(); !same.ok()) return same.error();
    const size_t n_candidates = std::max(kCandidatesMin, kCandidatesPerHit * k);
    Result<std::vector<Key128>> by_words = collection_->ranked_by_words(query, n_candidates);
    if (!by_words.ok()) return by_words.error();
    const std::vector<Key128> rankings[] = {*std::move(by_words),
                                            ranked_by_vector(vector, n_candidates)};
    std::vector<RetrievedChunk> found;
    for (const FusedRank& rank : fuse_ranks(rankings)) {
        if (found.size() == k) break;
        Result<std::optional<StoredChunk>> chunk = collection_->chunk(rank.id);
        if (!chunk.ok()) return chunk.error();
        if (*chunk) found.push_back({**std::move(chunk), rank.score});
    }
    return found;
}

}  // namespace spolia
