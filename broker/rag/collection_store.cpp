#include "broker/rag/collection_store.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>

#include "broker/rag/collection_name.h"

namespace spolia {
namespace {

constexpr std::string_view kEnding = ".db";

// Of the vectors of a collection.
std::filesystem::path index_file(std::filesystem::path file) {
    return file.replace_extension(".vectors");
}

// Device and file number; zeros where there is no file.
std::pair<uint64_t, uint64_t> identity_of(const std::filesystem::path& file) {
    struct stat found {};
    if (::stat(file.c_str(), &found) != 0) return {};
    return {found.st_dev, found.st_ino};
}

}  // namespace

std::filesystem::path collection_file(const std::filesystem::path& directory,
                                      std::string_view tenant, std::string_view name) {
    return directory / hash_text(tenant).hex() / (std::string(name) + std::string(kEnding));
}

// A collection that stays open as long as this.
class CollectionStore::Use {
public:
    Use(CollectionStore& store, Name name)
        : store_(store), name_(std::move(name)), opened_(store.take(name_)) {}
    ~Use() { store_.give_back(name_); }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

    Opened& operator*() const { return opened_; }

private:
    CollectionStore& store_;
    const Name name_;
    Opened& opened_;
};

CollectionStore::Opened& CollectionStore::take(const Name& name) {
    const MutexLock lock(mutex_);
    std::unique_ptr<Opened>& opened = opened_[name];
    if (!opened) opened = std::make_unique<Opened>();
    ++opened->n_users;
    opened->last_used = ++clock_;
    return *opened;
}

void CollectionStore::give_back(const Name& name) {
    std::vector<std::unique_ptr<Opened>> closed;  // behind the lock: it takes its time
    const MutexLock lock(mutex_);
    const auto found = opened_.find(name);
    // Whoever does not find a collection leaves nothing behind.
    const bool last = --found->second->n_users == 0;
    if (last && !found->second->search) opened_.erase(found);
    closed = take_idle(kOpenMax);
}

std::vector<std::unique_ptr<CollectionStore::Opened>> CollectionStore::take_idle(size_t n_kept) {
    std::vector<std::unique_ptr<Opened>> idle;
    while (opened_.size() > n_kept) {
        auto oldest = opened_.end();
        for (auto it = opened_.begin(); it != opened_.end(); ++it) {
            const bool older =
                oldest == opened_.end() || it->second->last_used < oldest->second->last_used;
            if (it->second->n_users == 0 && older) oldest = it;
        }
        if (oldest == opened_.end()) break;
        idle.push_back(std::move(oldest->second));
        opened_.erase(oldest);
    }
    return idle;
}

// A collection that was removed, or replaced by another file, is not the one that is open.
Status CollectionStore::ensure_open(Opened& opened, const Name& name) {
    const std::filesystem::path file = collection_file(directory_, name.first, name.second);
    const std::pair<uint64_t, uint64_t> identity = identity_of(file);
    if (opened.search && identity == opened.identity) return {};
    opened.search.reset();
    opened.identity = identity;
    Result<std::unique_ptr<CollectionDatabase>> collection =
        CollectionDatabase::open(file, Database::Access::kExisting, name.second);
    if (!collection.ok()) return collection.error();
    Result<std::unique_ptr<CollectionSearch>> search =
        CollectionSearch::open(*std::move(collection), embedder_, index_file(file));
    if (!search.ok()) return search.error();
    opened.search = *std::move(search);
    return {};
}

Result<std::unique_ptr<CollectionDatabase>> CollectionStore::open(const std::string& tenant,
                                                                  const std::string& collection,
                                                                  Database::Access access) const {
    if (Status good = check_collection_name(collection); !good.ok()) return good.error();
    const std::filesystem::path file = collection_file(directory_, tenant, collection);
    if (access == Database::Access::kCreate) {
        std::error_code error;
        std::filesystem::create_directories(file.parent_path(), error);
        if (error) {
            return Error{ErrorCode::kIo,
                         "can't make " + file.parent_path().string() + ": " + error.message()};
        }
    }
    return CollectionDatabase::open(file, access, collection);
}

std::vector<CollectionInfo> CollectionStore::list(const std::string& tenant) {
    std::vector<std::string> names;
    std::error_code error;
    const std::filesystem::path folder = collection_file(directory_, tenant, "x").parent_path();
    for (auto it = std::filesystem::directory_iterator(folder, error);
         !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
        const std::string name = it->path().stem().string();
        if (it->path().extension() == kEnding && check_collection_name(name).ok()) {
            names.push_back(name);
        }
    }
    std::ranges::sort(names);
    std::vector<CollectionInfo> infos;
    for (const std::string& name : names) {
        const Use use(*this, {tenant, name});
        Opened& opened = *use;
        const MutexLock lock(opened.mutex);
        if (!ensure_open(opened, {tenant, name}).ok()) continue;
        const Result<CollectionSize> size = opened.search->size();
        if (size.ok()) infos.push_back({name, *size});
    }
    return infos;
}

Result<std::vector<RetrievedChunk>> CollectionStore::retrieve(const std::string& tenant,
                                                              const std::string& collection,
                                                              std::string_view query, size_t k) {
    if (Status good = check_collection_name(collection); !good.ok()) return good.error();
    const Use use(*this, {tenant, collection});
    Opened& opened = *use;
    const MutexLock lock(opened.mutex);
    if (Status open = ensure_open(opened, {tenant, collection}); !open.ok()) return open.error();
    return opened.search->search(query, k);
}

}  // namespace spolia
