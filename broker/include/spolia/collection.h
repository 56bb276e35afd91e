#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "index/result.h"

namespace spolia {

struct CollectionSize {
    int64_t n_documents = 0;
    int64_t n_chunks = 0;
    int64_t text_bytes = 0;  // of all chunks
};

struct CollectionInfo {
    std::string name;
    CollectionSize size;
};

enum class TextFormat : uint8_t { kPlain, kMarkdown, kHtml };

// A document that the program holds itself.
struct TextDocument {
    std::string name;  // 1 to 1024 bytes; what chunks name as their document
    std::string text;  // UTF-8, up to 128 MiB
    TextFormat format = TextFormat::kPlain;
};

struct DocumentInfo {
    std::string name;    // of a file: its path from the folder on that was ingested, "docs/http.md"
    std::string path;    // of a file, absolute; empty for a TextDocument
    uint64_t bytes = 0;  // of the file or text
};

// What became of documents that were ingested. Each is counted once.
struct IngestReport {
    size_t n_added = 0;
    size_t n_replaced = 0;
    size_t n_unchanged = 0;  // skipped: the collection has them as they are
    size_t n_removed = 0;    // their files are gone
    // No documents, or folders that can't be looked into; what the collection had of them stays.
    size_t n_failed = 0;
    // Chunks of unchanged documents whose vectors were another embedder's, and are new now.
    size_t n_embedded_anew = 0;
    uint64_t bytes_read = 0;            // of files and texts
    bool cancelled = false;             // what is counted is in the collection, the rest is not
    std::vector<std::string> warnings;  // "PATH: what": of each that failed, and of links passed by
};

// Is told how far a call is, on the thread that made the call. Returns false to cancel it.
using OnProgress = std::function<bool(size_t n_done, size_t n_all)>;

struct IngestListener {
    OnProgress progress;  // documents, then chunks that are embedded anew
    // Each of the report's warnings, as it comes up.
    std::function<void(const std::string& what)> warn;
};

// What became of chunks whose KV was wanted ahead of time.
struct EncodeReport {
    size_t n_encoded = 0;
    size_t n_warm = 0;       // had it already
    size_t n_too_short = 0;  // have under BrokerOptions::chunk_tokens_min tokens: always computed
    bool cancelled = false;
};

enum class ChunkOrder : uint8_t {
    kBestFirst,
    // As they stand in their documents: the same chunks then always make the same prompt, of which
    // an exact prefix can be reused.
    kDocument,
};

// A piece of a document that was found for a query.
struct ScoredChunk {
    std::string id;        // 32 hexadecimal digits; stays while document, place and text do
    std::string document;  // DocumentInfo::name
    std::string heading;   // the path of headings to it, "Title > Section"; may be empty
    std::string text;      // the heading, a blank line, and the piece: goes into prompts as it is
    // Reciprocal ranks by words (BM25) and by vectors, 1 / (60 + r) each, added up: higher is
    // better, at most 2 / 61. It tells which chunk fits better than another one of the same query,
    // not whether any fits.
    double score = 0;
    bool warm = false;  // its KV is in memory or on disk
};

// Documents, cut into chunks and indexed by words and vectors, to be retrieved from: a vector store
// and its retriever. What is written is written document by document, whole or not at all, whatever
// ends the process.
//
// Thread-safe, and any number of processes may have a collection open, `spolia ingest` among them:
// each sees what the others have written from its next call on. Searches never wait for writers;
// writers take turns, a document each. One that waits for over 10 seconds fails with kOverloaded.
// Two that ingest the same folder leave what one would.
//
// All functions fail with kIo where the file can't be read or written, with kCorrupt where it is
// damaged, and those that only read with kNotFound where it was removed.
class Collection {
public:
    virtual ~Collection() = default;

    virtual const std::string& name() const = 0;

    // Brings the collection up to what stands at `paths` now, files and folders: text, Markdown,
    // HTML, and PDF where poppler's pdftotext is installed. New files are added, changed ones
    // replaced, unchanged ones skipped, and those that are gone from there removed. Folders are
    // searched without following links. A file that can't be read is counted and warned of.
    // kNotFound: a path does not exist. A cancelled call removes nothing; the next one goes on.
    virtual Result<IngestReport> ingest(const std::vector<std::filesystem::path>& paths,
                                        const IngestListener& listener = {}) = 0;

    // The same for texts. One of a name that is there replaces that text; files are documents of
    // their own, whatever their name. Looks over the collection at each call: give many at once.
    virtual Result<IngestReport> add_documents(const std::vector<TextDocument>& documents,
                                               const IngestListener& listener = {}) = 0;

    // Removes the documents of a name, files' and texts', and returns how many there were. A file
    // that is still there comes back when its folder is ingested.
    virtual Result<size_t> remove_document(const std::string& name) = 0;

    // All documents, by path and name.
    virtual Result<std::vector<DocumentInfo>> documents() const = 0;
    virtual Result<CollectionSize> size() const = 0;

    // The k (1 to 64) chunks that fit a query best; nearly always k where there are so many, as
    // some vector is always the nearest, whatever the query.
    // kInvalidArgument: an empty query, or another k. kUnsupported: chunks have vectors of another
    // embedder than the broker's; to ingest or add anything gives them new ones.
    virtual Result<std::vector<ScoredChunk>> retrieve(
        const std::string& query, int32_t k = 4,
        ChunkOrder order = ChunkOrder::kBestFirst) const = 0;

    // Computes the KV of all chunks that have none, so that the first prompt with them is as quick
    // as the second. Takes about as long as a prompt of all of them would, behind all prompts that
    // come meanwhile; without it a chunk's KV is made in idle time once a prompt had it. What
    // memory and cache directory do not hold pushes out what was used longest ago. kUnsupported:
    // the model's KV can't be reused.
    virtual Result<EncodeReport> encode_ahead(const OnProgress& progress = {}) = 0;
};

}  // namespace spolia
