#include "broker/rag/collection_store.h"

#include <algorithm>
#include <system_error>

#include "broker/rag/collection_name.h"
#include "broker/rag/document_builder.h"

namespace spolia {
namespace {

constexpr std::string_view kEnding = ".db";

// More of a query says nothing new.
constexpr size_t kQueryBytesMax = 8192;

// Of the vectors of a collection.
std::filesystem::path index_file(std::filesystem::path file) {
    return file.replace_extension(".vectors");
}

Status remove_file(const std::filesystem::path& file) {
    std::error_code error;
    std::filesystem::remove(file, error);
    if (!error) return {};
    return Error{ErrorCode::kIo, "can't remove " + file.string() + ": " + error.message()};
}

}  // namespace

std::filesystem::path collection_file(const std::filesystem::path& directory,
                                      std::string_view tenant, std::string_view name) {
    return directory / hash_text(tenant).hex() / (std::string(name) + std::string(kEnding));
}

Status remove_collection(const std::filesystem::path& directory, std::string_view tenant,
                         const std::string& name) {
    if (Status good = check_collection_name(name); !good.ok()) return good;
    const std::filesystem::path file = collection_file(directory, tenant, name);
    std::error_code unknown;
    if (!std::filesystem::exists(file, unknown)) {
        return Error{ErrorCode::kNotFound, "there is no collection '" + name + "'"};
    }
    // The file itself at last: what another process makes of that name from then on is whole.
    const std::filesystem::path files[] = {index_file(file), file.string() + "-wal",
                                           file.string() + "-shm", file};
    for (const std::filesystem::path& each : files) {
        if (Status removed = remove_file(each); !removed.ok()) return removed;
    }
    return {};
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
    Entry& entry = entries_[name];
    if (!entry.opened) entry.opened = std::make_unique<Opened>();
    ++entry.n_users;
    entry.last_used = ++clock_;
    return *entry.opened;
}

void CollectionStore::give_back(const Name& name) {
    std::vector<std::unique_ptr<Opened>> closed;  // behind the lock: it takes its time
    const MutexLock lock(mutex_);
    const auto found = entries_.find(name);
    // Whoever does not find a collection leaves nothing behind.
    const bool last = --found->second.n_users == 0;
    if (last && !found->second.opened->search) entries_.erase(found);
    closed = take_idle(kOpenMax);
}

std::vector<std::unique_ptr<CollectionStore::Opened>> CollectionStore::take_idle(size_t n_kept) {
    std::vector<std::unique_ptr<Opened>> idle;
    while (entries_.size() > n_kept) {
        auto oldest = entries_.end();
        for (auto it = entries_.begin(); it != entries_.end(); ++it) {
            const bool older =
                oldest == entries_.end() || it->second.last_used < oldest->second.last_used;
            if (it->second.n_users == 0 && older) oldest = it;
        }
        if (oldest == entries_.end()) break;
        idle.push_back(std::move(oldest->second.opened));
        entries_.erase(oldest);
    }
    return idle;
}

// A collection that was removed, or replaced by another file, is not the one that is open.
Status CollectionStore::ensure_open(Opened& opened, const Name& name) {
    const std::filesystem::path file = collection_file(directory_, name.first, name.second);
    if (opened.search && !opened.search->was_moved()) return {};
    opened.search.reset();
    Result<std::unique_ptr<CollectionDatabase>> collection =
        CollectionDatabase::open(file, Database::Access::kExisting, name.second);
    if (!collection.ok()) return collection.error();
    Result<std::unique_ptr<CollectionSearch>> search =
        CollectionSearch::open(*std::move(collection), embedder_, index_file(file));
    if (!search.ok()) return search.error();
    opened.search = *std::move(search);
    return {};
}

Status CollectionStore::check_there(Opened& opened, const Name& name) {
    const MutexLock lock(opened.mutex);
    return ensure_open(opened, name);
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
    Result<std::unique_ptr<CollectionDatabase>> opened =
        CollectionDatabase::open(file, access, collection);
    if (opened.ok() || opened.error().code != ErrorCode::kCorrupt) return opened;
    return Error{ErrorCode::kCorrupt, opened.error().message + "; move " + file.string() +
                                          " away, and ingest its documents again"};
}

Status CollectionStore::remove(const std::string& tenant, const std::string& collection) {
    const Use use(*this, {tenant, collection});
    Opened& opened = *use;
    const MutexLock lock(opened.mutex);
    opened.search.reset();  // saves its index, which goes with the rest
    return remove_collection(directory_, tenant, collection);
}

std::vector<CollectionInfo> CollectionStore::list(const std::string& tenant) const {
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
        const auto collection = CollectionDatabase::open(folder / (name + std::string(kEnding)),
                                                         Database::Access::kExisting, name);
        if (!collection.ok()) continue;
        const Result<CollectionSize> size = (*collection)->size();
        if (size.ok()) infos.push_back({name, *size});
    }
    return infos;
}

Result<std::vector<RetrievedChunk>> CollectionStore::retrieve(const std::string& tenant,
                                                              const std::string& collection,
                                                              std::string_view query, size_t k) {
    if (Status good = check_collection_name(collection); !good.ok()) return good.error();
    const Name name{tenant, collection};
    const Use use(*this, name);
    if (Status there = check_there(*use, name); !there.ok()) return there.error();
    // Nobody waits for that: an embedder may take its time.
    const std::string_view text = utf8_prefix(query, kQueryBytesMax);
    const Result<std::vector<float>> vector = embedder_.embed({&text, 1});
    if (!vector.ok()) return vector.error();
    Opened& opened = *use;
    const MutexLock lock(opened.mutex);
    if (Status open = ensure_open(opened, name); !open.ok()) return open.error();
    return opened.search->search(text, *vector, k);
}

}  // namespace spolia
