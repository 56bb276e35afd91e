#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/rag/collection_search.h"
#include "index/result.h"
#include "index/text_embedder.h"
#include "index/thread_annotations.h"

namespace spolia {

// DIRECTORY/<hash of the tenant>/<name>.db: tenants never see each other's.
std::filesystem::path collection_file(const std::filesystem::path& directory,
                                      std::string_view tenant, std::string_view name);

// Removes a collection, documents and all. What is being ingested into it at that time is lost.
// kNotFound: there is no such collection. Others that have it open see that it is gone.
Status remove_collection(const std::filesystem::path& directory, std::string_view tenant,
                         const std::string& name);

// The collections of a folder. Thread-safe; searches of one collection wait for each other, but not
// for the embedder.
class CollectionStore {
public:
    // Borrows `embedder`. The folder need not be there yet.
    CollectionStore(std::filesystem::path directory, const TextEmbedder& embedder)
        : directory_(std::move(directory)), embedder_(embedder) {}

    const TextEmbedder& embedder() const { return embedder_; }

    // A collection for reading and writing, apart from those that are searched in.
    // kInvalidArgument: no such thing can be a collection's name. kCreate also makes the folders
    // above it.
    Result<std::unique_ptr<CollectionDatabase>> open(const std::string& tenant,
                                                     const std::string& collection,
                                                     Database::Access access) const;

    // By name. Those that can't be opened are left out.
    std::vector<CollectionInfo> list(const std::string& tenant) const;
    // As remove_collection(), and closes it.
    Status remove(const std::string& tenant, const std::string& collection) EXCLUDES(mutex_);
    // kNotFound: there is no such collection.
    Result<std::vector<RetrievedChunk>> retrieve(const std::string& tenant,
                                                 const std::string& collection,
                                                 std::string_view query, size_t k) EXCLUDES(mutex_);

private:
    // Beyond so many, those not in use are closed.
    static constexpr size_t kOpenMax = 32;

    using Name = std::pair<std::string, std::string>;  // tenant, collection
    struct Opened {
        Mutex mutex;
        std::unique_ptr<CollectionSearch> search PT_GUARDED_BY(mutex);  // null: not opened yet
    };
    struct Entry {
        std::unique_ptr<Opened> opened;
        int n_users = 0;
        uint64_t last_used = 0;
    };
    class Use;

    Opened& take(const Name& name) EXCLUDES(mutex_);
    void give_back(const Name& name) EXCLUDES(mutex_);
    // Those not in use, the longest unused first, until n_kept are left.
    std::vector<std::unique_ptr<Opened>> take_idle(size_t n_kept) REQUIRES(mutex_);
    Status ensure_open(Opened& opened, const Name& name) REQUIRES(opened.mutex);
    // Whether the collection can be opened, before anything is done for it.
    Status check_there(Opened& opened, const Name& name) EXCLUDES(opened.mutex);

    const std::filesystem::path directory_;
    const TextEmbedder& embedder_;
    Mutex mutex_;
    std::map<Name, Entry> entries_ GUARDED_BY(mutex_);
    uint64_t clock_ GUARDED_BY(mutex_) = 0;
};

}  // namespace spolia
