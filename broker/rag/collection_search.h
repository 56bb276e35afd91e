#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "broker/rag/collection_database.h"
#include "index/result.h"
#include "index/text_embedder.h"
#include "index/vector_index.h"

namespace spolia {

// Finds a collection's chunks by words and by vectors. The index of vectors is held in memory, and
// follows the file when another process changes it. One thread at a time.
class CollectionSearch {
public:
    // `index_file` keeps the index, so that it need not be built at every
    // start; what is missing there or wrong comes from the collection. Empty: in memory only.
    static Result<std::unique_ptr<CollectionSearch>> open(
        std::unique_ptr<CollectionDatabase> collection, const TextEmbedder& embedder,
        const std::filesystem::path& index_file = {});
    // Saves the index, unless the collection's file is gone.
    ~CollectionSearch();

    // The collection's file was removed, or stands elsewhere now.
    bool was_moved() const { return collection_->was_moved(); }

    // The k best for a query, best first; `vector` is the embedder's of it. kUnsupported while
    // chunks have vectors of another embedder: these can't be compared with the query's, and a
    // ranking by words alone would only look like one.
    Result<std::vector<RetrievedChunk>> search(std::string_view query,
                                               std::span<const float> vector, size_t k);

private:
    CollectionSearch(std::unique_ptr<CollectionDatabase> collection, const Key128& embedder,
                     std::unique_ptr<VectorIndex> vectors);

    // Brings the index up to the snapshot that is open.
    Status follow();
    Status check_embedder() const;
    std::vector<Key128> ranked_by_vector(std::span<const float> query, size_t n_max) const;

    const std::unique_ptr<CollectionDatabase> collection_;
    const Key128 embedder_;
    const std::unique_ptr<VectorIndex> vectors_;
    std::unordered_set<Key128, Key128Hash> known_;  // what vectors_ holds
    int64_t n_foreign_ = 0;                         // chunks without a vector of this embedder
    int64_t version_ = -1;                          // of the collection, when it was read
};

}  // namespace spolia
