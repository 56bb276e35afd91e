#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/rag/database.h"
#include "broker/rag/document_cutter.h"
#include "broker/rag/retrieved_chunk.h"
#include "index/fingerprint.h"
#include "index/result.h"
#include "spolia/collection.h"

namespace spolia {

// A document as it was when its chunks were made: a file, or a text of some program's own.
struct DocumentStamp {
    std::string path;    // a file's, absolute; a text's, see text_path()
    std::string source;  // what clients see: from the folder on that was ingested, a text's name
    uint64_t size = 0;
    int64_t mtime_ns = 0;  // 0 for a text
    int64_t recipe = 0;    // of reading and cutting: chunks of another one are made anew
    Key128 hash;           // of its bytes
};

// Documents, their chunks, and the chunks' words and vectors, in one SQLite file. What is written
// is written as a whole or not at all, whatever ends the process. Any number of processes may have
// it open. One thread at a time.
class CollectionDatabase {
public:
    // kNotFound: there is no such file, and it is not to be made. kCorrupt: it is no collection, or
    // one of another version; it is left as it is.
    static Result<std::unique_ptr<CollectionDatabase>> open(const std::filesystem::path& file,
                                                            Database::Access access,
                                                            const std::string& name);

    Result<std::vector<DocumentStamp>> documents();
    // Replaces the document of this path. `vectors` holds one vector for each chunk, all of the
    // same length.
    Status put(const DocumentStamp& stamp, std::span<const DocumentChunk> chunks,
               const Key128& embedder, std::span<const float> vectors);
    // The document is as it was, its file was written again.
    Status restamp(const DocumentStamp& stamp);
    Status remove(std::string_view path);
    // Removes all documents of a source; how many there were.
    Result<size_t> remove_source(std::string_view source);

    // What a chunk says.
    struct ChunkText {
        int64_t row;
        std::string text;
    };
    // The next chunks behind a row, ascending; before all of them is row 0.
    Result<std::vector<ChunkText>> texts_behind(int64_t row, size_t n_max);
    // Of these, the ones that have no vector of this embedder.
    Result<std::vector<ChunkText>> without_vector(const Key128& embedder, int64_t row,
                                                  size_t n_max);
    Result<int64_t> n_without_vector(const Key128& embedder);
    // Passes by chunks that are gone, or say something else by now.
    Status set_vectors(std::span<const ChunkText> texts, const Key128& embedder,
                       std::span<const float> vectors);

    // What is read while this lives is of one moment.
    Result<Transaction> snapshot() { return Transaction::begin_reading(*database_); }
    Result<CollectionSize> size();
    bool was_moved() const { return database_->was_moved(); }
    // Another number whenever another process may have changed the collection.
    Result<int64_t> version();
    struct VectorPlace {
        Key128 chunk;
        int64_t row;
    };
    struct VectorPlaces {
        std::vector<VectorPlace> places;
        int64_t n_without = 0;  // chunks that have no vector of the embedder
    };
    // Where the vectors of an embedder are. Reads none.
    Result<VectorPlaces> vector_places(const Key128& embedder);
    using TakeVector = std::function<Status(const Key128& chunk, std::span<const float> vector)>;
    // Gives the vectors at these places, of the same snapshot, until one is not taken.
    Status read_vectors(std::span<const VectorPlace> places, const TakeVector& take);
    // Chunks with any word of a query in any form, best first (BM25).
    Result<std::vector<Key128>> ranked_by_words(std::string_view query, size_t n_max);
    Result<std::optional<StoredChunk>> chunk(const Key128& key);

private:
    explicit CollectionDatabase(std::unique_ptr<Database> database)
        : database_(std::move(database)) {}

    Result<bool> has_tables();
    Result<bool> has_tables_now();
    Status prepare_tables();
    Status put_chunks(std::string_view path, int64_t document,
                      std::span<const DocumentChunk> chunks, const Key128& embedder,
                      std::span<const float> vectors);
    Status erase(std::string_view path);

    std::unique_ptr<Database> database_;
};

}  // namespace spolia
