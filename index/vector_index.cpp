#include "index/vector_index.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

#include "index/thread_annotations.h"
#include "index/unit_vector.h"
#include "index/vector_chore.h"
#include "index/vector_file.h"
#include "index/vector_graph.h"
#include "index/vector_memory.h"
#include "index/vector_rows.h"
#include "index/vector_view.h"
#include "index/whole_file.h"

namespace spolia {
namespace {

// Rows behind a graph, which searches look at one by one: as many as are worth a new copy of the
// graph, and as many, beside flat_max, as add() takes without waiting for it.
constexpr size_t kTailStep = 1024;
constexpr size_t kTailMax = 16 * kTailStep;
// Empty where there is no file.
std::filesystem::path folder_of(const std::filesystem::path& file) {
    return file.empty() || file.has_parent_path() ? file.parent_path() : ".";
}

}  // namespace

// Writers take turns under `mutex_`. What they publish stands under `views_mutex_`, which is never
// held for longer than it takes to copy or replace a pointer.
class VectorIndex::State {
public:
    State(VectorIndexOptions options, const Key128& embedder, size_t n_dims)
        : options_(std::move(options)),
          embedder_(embedder),
          n_dims_(n_dims),
          memory_(std::make_shared<VectorMemory>(options_.memory_max, folder_of(options_.file))) {}
    ~State();

    const VectorIndexOptions& options() const { return options_; }
    const std::shared_ptr<VectorMemory>& memory() const { return memory_; }
    // Before any other call. False: not a consistent set of partitions.
    bool take_up(std::vector<StoredPartition> stored) EXCLUDES(mutex_, views_mutex_);
    void start() {
        worker_ = std::thread([this] { work(); });
    }

    Status add(const Key128& key, const Key128& id, std::span<const float> vector)
        EXCLUDES(mutex_, views_mutex_);
    bool remove(const Key128& key, const Key128& id) EXCLUDES(mutex_, views_mutex_);
    std::shared_ptr<const VectorView> view_of(const Key128& key) const EXCLUDES(views_mutex_);
    std::vector<VectorName> list() const EXCLUDES(views_mutex_);
    Status save() EXCLUDES(save_mutex_, mutex_, views_mutex_);
    void settle() EXCLUDES(mutex_);

private:
    struct Partition {
        std::shared_ptr<VectorRows> rows;
        std::unordered_map<Key128, size_t, Key128Hash> row_of;  // of those alive
        std::shared_ptr<const VectorView> view;                 // the published one
        bool queued = false;
        // No chore before the view has this version: there was no room for the last one.
        uint64_t retry_version = 0;
    };
    struct Chore {
        Key128 key;
        VectorChore work;
    };

    Partition& partition_for(const Key128& key) REQUIRES(mutex_);
    Status append(Partition& partition, VectorView& next, const Key128& id,
                  std::span<const float> vector) REQUIRES(mutex_);
    void drop_row(Partition& partition, VectorView& next, size_t row) REQUIRES(mutex_);
    void publish(const Key128& key, Partition& partition, VectorView next) REQUIRES(mutex_)
        EXCLUDES(views_mutex_);
    void forget(const Key128& key) REQUIRES(mutex_) EXCLUDES(views_mutex_);

    bool crowded(const Partition& partition) const REQUIRES(mutex_);
    bool has_chore(const Partition& partition, size_t tail_min) const REQUIRES(mutex_);
    void enqueue(const Key128& key, Partition& partition, size_t tail_min) REQUIRES(mutex_);
    void work() EXCLUDES(mutex_, views_mutex_);
    std::optional<Chore> next_chore() EXCLUDES(mutex_);
    void finish(Chore chore) EXCLUDES(mutex_, views_mutex_);
    bool take_over(Partition& partition, VectorView& next, VectorChore& done) REQUIRES(mutex_);
    Status replace_rows(Partition& partition, VectorView& next, VectorChore& done) REQUIRES(mutex_);

    const VectorIndexOptions options_;
    const Key128 embedder_;
    const size_t n_dims_;
    const std::shared_ptr<VectorMemory> memory_;

    Mutex save_mutex_;
    mutable Mutex mutex_;
    std::unordered_map<Key128, Partition, Key128Hash> partitions_ GUARDED_BY(mutex_);
    uint64_t n_changes_ GUARDED_BY(mutex_) = 0;
    uint64_t n_saved_ GUARDED_BY(mutex_) = 0;  // of the changes
    std::deque<Key128> queue_ GUARDED_BY(mutex_);
    CondVar wake_;  // of the background thread
    CondVar done_;  // a chore

    mutable Mutex views_mutex_;
    std::unordered_map<Key128, std::shared_ptr<const VectorView>, Key128Hash> views_
        GUARDED_BY(views_mutex_);

    std::atomic<bool> stop_{false};
    std::thread worker_;
};

VectorIndex::State::~State() {
    if (!worker_.joinable()) return;
    {
        MutexLock lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    worker_.join();
}

bool VectorIndex::State::take_up(std::vector<StoredPartition> stored) {
    MutexLock lock(mutex_);
    for (StoredPartition& from : stored) {
        const auto [found, is_new] = partitions_.try_emplace(from.key);
        Partition& partition = found->second;
        VectorView view{from.rows, from.graph, from.n_rows, from.version, 0, 0};
        for (size_t row = 0; row < from.n_rows; ++row) {
            if (!view.alive(row)) continue;
            if (!partition.row_of.emplace(from.rows->id(row), row).second) return false;
            ++view.n_live;
            if (row < view.n_in_graph()) ++view.n_live_in_graph;
        }
        if (!is_new || view.n_live == 0) return false;
        partition.rows = std::move(from.rows);
        publish(from.key, partition, std::move(view));
    }
    n_saved_ = n_changes_;
    return true;
}

std::shared_ptr<const VectorView> VectorIndex::State::view_of(const Key128& key) const {
    MutexLock lock(views_mutex_);
    const auto found = views_.find(key);
    return found == views_.end() ? nullptr : found->second;
}

std::vector<VectorName> VectorIndex::State::list() const {
    std::vector<std::pair<Key128, std::shared_ptr<const VectorView>>> views;
    {
        MutexLock lock(views_mutex_);
        views.assign(views_.begin(), views_.end());
    }
    std::vector<VectorName> names;
    for (const auto& [key, view] : views) {
        for (size_t row = 0; row < view->n_rows; ++row) {
            if (view->alive(row)) names.push_back({key, view->rows->id(row)});
        }
    }
    return names;
}

void VectorIndex::State::publish(const Key128& key, Partition& partition, VectorView next) {
    partition.view = std::make_shared<const VectorView>(std::move(next));
    ++n_changes_;
    enqueue(key, partition, kTailStep);
    std::shared_ptr<const VectorView> old = partition.view;  // freed behind the lock
    MutexLock lock(views_mutex_);
    std::swap(views_[key], old);
}

void VectorIndex::State::forget(const Key128& key) {
    partitions_.erase(key);
    ++n_changes_;
    MutexLock lock(views_mutex_);
    views_.erase(key);
}

VectorIndex::State::Partition& VectorIndex::State::partition_for(const Key128& key) {
    Partition& partition = partitions_[key];
    if (!partition.rows) {
        partition.rows = std::make_shared<VectorRows>(n_dims_, memory_);
        partition.view =
            std::make_shared<const VectorView>(VectorView{partition.rows, nullptr, 0, 0, 0, 0});
    }
    return partition;
}

Status VectorIndex::State::append(Partition& partition, VectorView& next, const Key128& id,
                                  std::span<const float> vector) {
    if (Status appended = partition.rows->append(id, vector); !appended) return appended;
    partition.row_of[id] = partition.rows->size() - 1;
    next.n_rows = partition.rows->size();
    ++next.n_live;
    return {};
}

void VectorIndex::State::drop_row(Partition& partition, VectorView& next, size_t row) {
    partition.rows->remove(row, next.version);
    --next.n_live;
    if (row < next.n_in_graph()) --next.n_live_in_graph;
}

Status VectorIndex::State::add(const Key128& key, const Key128& id, std::span<const float> vector) {
    if (vector.size() != n_dims_) {
        return invalid("a vector of " + std::to_string(vector.size()) +
                       " floats does not fit an index of " + std::to_string(n_dims_));
    }
    if (!is_unit_or_zeros(vector)) {
        return invalid("a vector is to be of length 1, or all zeros, to be compared with others");
    }
    MutexLock lock(mutex_);
    while (crowded(partition_for(key))) done_.wait(mutex_);
    Partition& partition = partition_for(key);
    const auto found = partition.row_of.find(id);
    const std::optional<size_t> old_row =
        found == partition.row_of.end() ? std::nullopt : std::optional(found->second);
    if (!old_row && partition.row_of.size() >= options_.partition_max) {
        return Error{ErrorCode::kOverloaded, "the partition is full: it holds " +
                                                 std::to_string(options_.partition_max) +
                                                 " vectors"};
    }
    VectorView next = *partition.view;
    ++next.version;
    if (Status appended = append(partition, next, id, vector); !appended) {
        if (partition.row_of.empty()) partitions_.erase(key);
        return appended;
    }
    if (old_row) drop_row(partition, next, *old_row);
    publish(key, partition, std::move(next));
    return {};
}

bool VectorIndex::State::remove(const Key128& key, const Key128& id) {
    MutexLock lock(mutex_);
    const auto found = partitions_.find(key);
    if (found == partitions_.end()) return false;
    Partition& partition = found->second;
    const auto row = partition.row_of.find(id);
    if (row == partition.row_of.end()) return false;
    VectorView next = *partition.view;
    ++next.version;
    drop_row(partition, next, row->second);
    partition.row_of.erase(row);
    if (next.n_live == 0) {
        forget(key);
    } else {
        publish(key, partition, std::move(next));
    }
    return true;
}

// Whether rows come faster than the graph takes them up.
bool VectorIndex::State::crowded(const Partition& partition) const {
    return partition.queued && partition.view->n_rows > options_.flat_max &&
           partition.view->n_tail() >= options_.flat_max + kTailMax && !stop_;
}

bool VectorIndex::State::has_chore(const Partition& partition, size_t tail_min) const {
    const VectorView& view = *partition.view;
    if (view.version < partition.retry_version) return false;
    return view.sparse() || (view.n_rows > options_.flat_max && view.n_tail() >= tail_min);
}

void VectorIndex::State::enqueue(const Key128& key, Partition& partition, size_t tail_min) {
    if (partition.queued || !has_chore(partition, tail_min)) return;
    partition.queued = true;
    queue_.push_back(key);
    wake_.notify_one();
}

void VectorIndex::State::work() {
    while (std::optional<Chore> chore = next_chore()) {
        chore->work.perform({options_.flat_max, options_.build_threads, memory_, stop_});
        finish(*std::move(chore));
    }
}

std::optional<VectorIndex::State::Chore> VectorIndex::State::next_chore() {
    MutexLock lock(mutex_);
    for (;;) {
        while (queue_.empty() && !stop_) wake_.wait(mutex_);
        if (stop_) return std::nullopt;
        const Key128 key = queue_.front();
        queue_.pop_front();
        const auto found = partitions_.find(key);
        if (found != partitions_.end() && has_chore(found->second, 1)) {
            return Chore{key, VectorChore(found->second.view)};
        }
        if (found != partitions_.end()) found->second.queued = false;
        done_.notify_all();
    }
}

void VectorIndex::State::finish(Chore chore) {
    MutexLock lock(mutex_);
    done_.notify_all();
    const auto found = partitions_.find(chore.key);
    if (stop_ || found == partitions_.end()) return;
    Partition& partition = found->second;
    // One that was made anew meanwhile has chores of its own.
    if (partition.rows != chore.work.view->rows) return;
    partition.queued = false;
    VectorView next = *partition.view;
    ++next.version;
    if (take_over(partition, next, chore.work)) {
        publish(chore.key, partition, std::move(next));
    } else {
        partition.retry_version = next.version + kTailStep;
    }
}

// False, with nothing changed, where there was no room.
bool VectorIndex::State::take_over(Partition& partition, VectorView& next, VectorChore& done) {
    if (done.failed) return false;
    if (done.rows && !replace_rows(partition, next, done)) return false;
    if (!done.graph) return true;
    for (size_t row = next.n_in_graph(); row < done.graph->n_rows(); ++row) {
        if (next.alive(row)) ++next.n_live_in_graph;
    }
    next.graph = std::move(done.graph);
    return true;
}

// Puts rows without those removed in place of a partition's, with what has changed since. Fails
// with nothing changed.
Status VectorIndex::State::replace_rows(Partition& partition, VectorView& next, VectorChore& done) {
    const VectorView& now = *partition.view;
    for (size_t row = done.view->n_rows; row < now.n_rows; ++row) {
        if (!now.alive(row)) continue;
        if (Status copied = done.copy_row(now, row); !copied) return copied;
    }
    next = {done.rows, nullptr, done.rows->size(), next.version, 0, 0};
    partition.rows = done.rows;
    partition.row_of.clear();
    for (size_t row = 0; row < done.origins.size(); ++row) {
        if (now.alive(done.origins[row])) {
            partition.row_of[done.rows->id(row)] = row;
            ++next.n_live;
        } else {
            done.rows->remove(row, next.version);
        }
    }
    return {};
}

Status VectorIndex::State::save() {
    if (options_.file.empty()) return {};
    MutexLock saving(save_mutex_);
    std::vector<StoredPartition> stored;
    uint64_t n_changes = 0;
    {
        MutexLock lock(mutex_);
        if (n_changes_ == n_saved_) return {};
        n_changes = n_changes_;
        for (const auto& [key, partition] : partitions_) {
            const VectorView& view = *partition.view;
            stored.push_back({key, partition.rows, view.n_rows, view.version, view.graph});
        }
    }
    Status written = write_vector_file(options_.file, embedder_, n_dims_, stored);
    if (!written) return written;
    MutexLock lock(mutex_);
    n_saved_ = n_changes;
    return {};
}

void VectorIndex::State::settle() {
    MutexLock lock(mutex_);
    for (bool any = true; any && !stop_;) {
        any = false;
        for (auto& [key, partition] : partitions_) {
            enqueue(key, partition, 1);
            any = any || partition.queued;
        }
        if (any) done_.wait(mutex_);
    }
}

VectorIndex::VectorIndex(std::unique_ptr<State> state, std::string open_warning)
    : state_(std::move(state)), open_warning_(std::move(open_warning)) {}
VectorIndex::~VectorIndex() = default;

Result<std::unique_ptr<VectorIndex>> VectorIndex::open(VectorIndexOptions options,
                                                       const Key128& embedder, int32_t n_dims) {
    if (n_dims <= 0) return invalid("an index of vectors needs vectors of one float at least");
    const auto dims = static_cast<size_t>(n_dims);
    const std::filesystem::path file = options.file;
    auto state = std::make_unique<State>(options, embedder, dims);
    std::string warning;
    if (!file.empty()) {
        Result<std::vector<StoredPartition>> stored =
            read_vector_file(file, embedder, dims, state->memory());
        const ErrorCode failure = stored ? ErrorCode::kNotFound : stored.error().code;
        if (failure == ErrorCode::kCorrupt) {
            warning = stored.error().message;
        } else if (failure != ErrorCode::kNotFound) {
            return stored.error();
        }
        if (stored && !state->take_up(*std::move(stored))) {
            warning = "the index of vectors in " + file.string() + " is damaged";
            state = std::make_unique<State>(options, embedder, dims);
        }
    }
    if (!warning.empty()) {
        warning +=
            "; it was moved to " + set_file_aside(file).string() + ", and the index starts empty";
    }
    state->start();
    return std::unique_ptr<VectorIndex>(new VectorIndex(std::move(state), std::move(warning)));
}

Status VectorIndex::add(const Key128& partition, const Key128& id, std::span<const float> vector) {
    return state_->add(partition, id, vector);
}

bool VectorIndex::remove(const Key128& partition, const Key128& id) {
    return state_->remove(partition, id);
}

std::vector<VectorHit> VectorIndex::search(const Key128& partition, std::span<const float> query,
                                           size_t k) const {
    const std::shared_ptr<const VectorView> view = state_->view_of(partition);
    if (!view || query.size() != view->rows->n_dims() || !is_unit_or_zeros(query)) return {};
    return view->search(query, k, state_->options().search_width);
}

size_t VectorIndex::size(const Key128& partition) const {
    const std::shared_ptr<const VectorView> view = state_->view_of(partition);
    return view ? view->n_live : 0;
}

std::vector<VectorName> VectorIndex::list() const { return state_->list(); }

Status VectorIndex::save() { return state_->save(); }
void VectorIndex::settle() { state_->settle(); }

}  // namespace spolia
