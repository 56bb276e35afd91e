#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "broker/rag/collection.h"
#include "index/result.h"
#include "index/text_embedder.h"

namespace spolia {

struct IngestReport {
    size_t n_added = 0;
    size_t n_replaced = 0;
    size_t n_unchanged = 0;
    size_t n_removed = 0;
    size_t n_failed = 0;  // files that can't be read as documents
    // Chunks of documents that did not change, whose vectors were another embedder's.
    size_t n_embedded_anew = 0;
    uint64_t bytes_read = 0;  // of files
    CollectionSize size;      // of the collection, afterwards
};

struct IngestListener {
    std::function<void(size_t n_done, size_t n_all)> progress;  // files, then chunks embedded anew
    std::function<void(const std::string& what)> warn;
};

// Brings a collection up to what stands at `paths` now: new files are added, changed ones replaced,
// unchanged ones left alone (by size and time; where these differ, by content), and documents whose
// file is gone from there removed. Then whatever has vectors of another embedder gets new ones,
// from the texts that are stored. Each file is one transaction, so that it may be ended at any
// time, and the next call goes on to the same state. A file that can't be read is warned of, and
// what the collection had of it stays. Fails where the collection can't be written, a path does not
// exist, or the embedder fails.
Result<IngestReport> ingest(Collection& collection, const TextEmbedder& embedder,
                            std::span<const std::filesystem::path> paths,
                            const IngestListener& listener);

}  // namespace spolia
