#include "broker/core/donor_keeper.h"

#include <algorithm>
#include <utility>

#include "broker/log.h"

namespace spolia {

DonorKeeper::DonorKeeper(const TextModel& text, const Key128& model, const BlockStore& store,
                         const DonorOptions& options, std::filesystem::path file)
    : text_(text), model_(model), store_(store), options_(options), file_(std::move(file)) {
    if (options_.enabled) thread_ = std::thread([this] { run(); });
}

DonorKeeper::~DonorKeeper() {
    if (!thread_.joinable()) return;
    {
        MutexLock lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
}

std::vector<Donor> DonorKeeper::find(const std::string& tenant, std::span<const Token> prompt,
                                     std::span<const Segment> segments, const FindResidence& find) {
    DonorIndex* index = open_;
    if (index == nullptr) return {};
    DonorSearch search = index->find(tenant, prompt, segments, find);
    if (!search.doubtful.empty()) {
        const Key128 scope = scope_key({model_, tenant});
        for (const Key128& key : search.doubtful) report({key, scope});
    }
    return std::move(search.donors);
}

void DonorKeeper::block_changed(const Key128& scope, const Key128& key) {
    if (!options_.enabled) return;
    if (stats().waiting == 0) {
        review({key, scope});
    } else {
        report({key, scope});
    }
}

// In front of those that a comparison left: it is of use now.
void DonorKeeper::report(const Report& report) {
    MutexLock lock(mutex_);
    if (reports_.size() < options_.texts_max + kReportsMax) {
        reports_.push_front(report);
    } else {
        compare_ = true;
    }
    wake_.notify_one();
}

void DonorKeeper::settle() {
    if (!options_.enabled) return;
    MutexLock lock(mutex_);
    const uint64_t wanted = ++n_settles_;
    wake_.notify_one();
    while (n_settled_ < wanted) settled_.wait(mutex_);
}

DonorStats DonorKeeper::stats() const {
    const DonorIndex* index = open_;
    DonorStats stats{.texts = index == nullptr ? 0 : index->size()};
    if (!options_.enabled) return stats;
    MutexLock lock(mutex_);
    stats.waiting = reports_.size() + (compare_ ? 1 : 0) + (busy_ ? 1 : 0);
    return stats;
}

void DonorKeeper::run() {
    for (;;) {
        Report report;
        switch (next_step(report)) {
            case Step::kOpen: open(); break;
            case Step::kCompare: compare(); break;
            case Step::kReview: review(report); break;
            case Step::kSweep: sweep(); break;
            case Step::kStop: save(); return;
        }
    }
}

DonorKeeper::Step DonorKeeper::next_step(Report& report) {
    MutexLock lock(mutex_);
    busy_ = false;
    for (;;) {
        if (stop_) return Step::kStop;
        if (!opened_) {
            opened_ = true;
            return Step::kOpen;
        }
        if (compare_) {
            compare_ = false;
            busy_ = true;
            return Step::kCompare;
        }
        if (!reports_.empty()) {
            report = reports_.front();
            reports_.pop_front();
            busy_ = true;
            return Step::kReview;
        }
        if (n_settled_ < n_settles_ || Clock::now() >= next_sweep_) return Step::kSweep;
        wake_.wait_until(mutex_, next_sweep_);
    }
}

void DonorKeeper::open() {
    index_ = std::make_unique<DonorIndex>(text_, model_, options_, file_);
    if (!index_->open_warning().empty()) log_event(LogLevel::kWarning, index_->open_warning());
    open_ = index_.get();
}

// Takes up the vectors of the blocks that are there, and leaves those that have none to review().
// From the block that was used the longest ago on, so that the index forgets in the same order.
void DonorKeeper::compare() {
    const std::vector<Key128> keys = store_.keys(Provenance::kIsolated, options_.texts_max);
    std::deque<Report> missing;
    for (auto key = keys.rbegin(); key != keys.rend() && !stop_; ++key) {
        const std::optional<BlockMeta> meta = store_.meta(*key);
        const std::optional<Key128> scope = meta ? scope_of(*meta) : std::nullopt;
        if (scope && !index_->take_up(*scope, *key, meta->tokens))
            missing.push_back({*key, *scope});
    }
    if (stop_) return;
    index_->drop_others();
    MutexLock lock(mutex_);
    reports_.insert(reports_.end(), missing.begin(), missing.end());
}

// Whatever was said of the block: what counts is whether it is there now.
void DonorKeeper::review(const Report& report) {
    DonorIndex& index = *open_.load();
    const std::optional<BlockMeta> meta = store_.meta(report.key);
    bool changed = false;
    if (!meta || meta->provenance != Provenance::kIsolated) {
        changed = index.remove(report.key);
    } else {
        const std::optional<Key128> scope =
            report.scope != Key128() ? std::optional(report.scope) : scope_of(*meta);
        changed = scope && index.add(*scope, report.key, meta->tokens);
    }
    if (changed) ++n_unsaved_;
}

// Blocks that were made before they said whose they are: the default tenant's can be told by their
// key, the others are known again when their tenant's prompts have them.
std::optional<Key128> DonorKeeper::scope_of(const BlockMeta& meta) const {
    if (meta.left_context != Key128()) return meta.left_context;
    const KeyScope scope{model_, {}};
    if (chunk_key(scope, meta.tokens) == meta.key) return scope_key(scope);
    return std::nullopt;
}

void DonorKeeper::sweep() {
    uint64_t n_settles = 0;
    bool asked = false;
    {
        MutexLock lock(mutex_);
        n_settles = n_settles_;
        asked = n_settled_ < n_settles_;
    }
    const uint64_t n_gone_now = n_gone();
    if (asked || n_gone_now != n_gone_seen_) {
        for (const DonorIndex::Text& text : index_->texts()) {
            if (stop_) break;
            if (!store_.where(text.key, *text.tokens)) review({text.key, {}});
        }
        n_gone_seen_ = n_gone_now;
    }
    if (n_unsaved_ >= std::max(kUnsavedMin, index_->size() / 8)) save();
    MutexLock lock(mutex_);
    next_sweep_ = Clock::now() + kSweepEvery;
    n_settled_ = n_settles;
    settled_.notify_all();
}

uint64_t DonorKeeper::n_gone() const {
    const BlockStoreStats stats = store_.stats();
    return stats.ram_evictions + stats.disk_evictions + stats.disk_writes_dropped +
           stats.files_set_aside;
}

void DonorKeeper::save() {
    if (index_ == nullptr) return;
    n_unsaved_ = 0;
    const Status saved = index_->save();
    if (!saved && !save_failed_) log_event(LogLevel::kWarning, saved.error().message);
    save_failed_ = !saved;
}

}  // namespace spolia
