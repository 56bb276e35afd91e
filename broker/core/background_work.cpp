#include "broker/core/background_work.h"

#include <optional>
#include <utility>

#include "broker/log.h"

namespace spolia {

ChunkInfo chunk_info(const RegisteredChunk& chunk, const BlockStore& store,
                     const KvLayout& layout) {
    const std::optional<Tier> tier = store.where(chunk.key, chunk.tokens);
    ChunkInfo info;
    info.key = chunk.key;
    info.name = chunk.name;
    info.n_tokens = static_cast<int32_t>(chunk.tokens.size());
    info.encoded = tier.has_value();
    info.tier = !tier ? "none" : *tier == Tier::kRam ? "ram" : "disk";
    info.bytes = tier ? chunk.tokens.size() * layout.row_bytes() : 0;
    return info;
}

Status BackgroundWork::put(PutJob& job) {
    MutexLock lock(mutex_);
    if (stopped_) return Error{ErrorCode::kCancelled, "the server is shutting down"};
    if (puts_.size() >= options_.put_queue_max) {
        return Error{ErrorCode::kOverloaded,
                     std::to_string(puts_.size()) + " registrations are waiting; try again later"};
    }
    {
        MutexLock state_lock(state_.mutex);
        for (const EncodeQueue::Chunk& chunk : job.chunks) state_.registering.insert(chunk.key);
    }
    puts_.push_back(std::move(job));
    return {};
}

size_t BackgroundWork::n_puts() const {
    MutexLock lock(mutex_);
    return puts_.size();
}

bool BackgroundWork::has_work() const {
    if (has_puts()) return true;
    MutexLock lock(state_.mutex);
    return !state_.encode_queue.empty() || (options_.capture_pages && state_.sequences.has_page());
}

void BackgroundWork::step(const PrefillTick& tick) {
    if (!step_put(tick) && !step_page()) step_seen(tick);
}

bool BackgroundWork::step_put(const PrefillTick& tick) {
    PutJob* job = nullptr;
    {
        MutexLock lock(mutex_);
        if (!puts_.empty()) job = &puts_.front();
    }
    if (job == nullptr) return false;
    const EncodeQueue::Chunk& chunk = job->chunks[job->n_encoded];
    Status status = encode(chunk, tick);
    if (!status && status.error().code == ErrorCode::kCancelled) return true;
    if (status && job->name) status = registry_.put(job->tenant, *job->name, chunk.tokens);
    if (!status || ++job->n_encoded == job->chunks.size()) finish_put(status);
    return true;
}

void BackgroundWork::finish_put(Status status) {
    PutJob job;
    {
        MutexLock lock(mutex_);
        job = std::move(puts_.front());
        puts_.pop_front();
    }
    forget(job);
    // The chunk is registered and encoded, only not beyond the end of the process.
    if (const Status saved = registry_.save(); !saved) {
        log_event(LogLevel::kWarning, saved.error().message);
    }
    if (!status) {
        job.done(std::move(status).error());
        return;
    }
    std::vector<ChunkInfo> infos;
    for (const EncodeQueue::Chunk& chunk : job.chunks) {
        infos.push_back(chunk_info({job.tenant, job.name.value_or(""), chunk.key, chunk.tokens},
                                   store_, engine_.info().kv));
    }
    job.done(std::move(infos));
}

void BackgroundWork::forget(const PutJob& job) {
    MutexLock lock(state_.mutex);
    for (const EncodeQueue::Chunk& chunk : job.chunks) {
        state_.registering.erase(state_.registering.find(chunk.key));
    }
}

bool BackgroundWork::step_page() {
    if (!options_.capture_pages) return false;
    std::optional<SequenceTable::Page> page;
    {
        MutexLock lock(state_.mutex);
        page = state_.sequences.next_page();
    }
    if (!page) return false;
    const Key128 key = chain_key(page_scope(engine_.info().fingerprint, page->salt, options_),
                                 page->previous, page->tokens);
    const Status kept = store_.where(key, page->tokens) ? Status() : capture(*page, key);
    MutexLock lock(state_.mutex);
    if (kept) {
        state_.sequences.page_kept(page->sequence, key);
    } else {
        state_.sequences.skip_pages(page->sequence);
    }
    return true;
}

Status BackgroundWork::capture(const SequenceTable::Page& page, const Key128& key) {
    Result<std::unique_ptr<KvBlock>> block = engine_.capture({.sequence = page.sequence,
                                                              .begin = page.begin,
                                                              .key = key,
                                                              .left_context = page.previous,
                                                              .tokens = page.tokens});
    if (!block) return std::move(block).error();
    Result<BlockPin> inserted = store_.insert(std::move(block).value());
    if (!inserted) return std::move(inserted).error();
    metrics_.page_captured();
    return {};
}

bool BackgroundWork::step_seen(const PrefillTick& tick) {
    std::optional<EncodeQueue::Chunk> chunk;
    {
        MutexLock lock(state_.mutex);
        chunk = state_.encode_queue.first();
    }
    if (!chunk) return false;
    const Status encoded = encode(*chunk, tick);
    if (!encoded && encoded.error().code != ErrorCode::kCancelled) {
        log_event(LogLevel::kWarning, "a chunk could not be kept",
                  {{"tokens", static_cast<int64_t>(chunk->tokens.size())},
                   {"error", std::string_view(encoded.error().message)}});
    }
    return true;
}

Status BackgroundWork::encode(const EncodeQueue::Chunk& chunk, const PrefillTick& tick) {
    Status made = store_.where(chunk.key, chunk.tokens) ? Status() : make_block(chunk, tick);
    const bool cancelled = !made && made.error().code == ErrorCode::kCancelled;
    n_cancelled_ = cancelled ? n_cancelled_ + 1 : 0;
    if (cancelled) return made;
    if (made) donors_.block_changed(chunk.scope, chunk.key);
    MutexLock lock(state_.mutex);
    state_.encode_queue.remove(chunk.key);
    return made;
}

Status BackgroundWork::make_block(const EncodeQueue::Chunk& chunk, const PrefillTick& tick) {
    const bool insist = n_cancelled_ + 1 >= kAttemptsMax;
    Result<std::unique_ptr<KvBlock>> block =
        engine_.encode_isolated(chunk.key, chunk.tokens, insist ? PrefillTick() : tick);
    if (!block) return std::move(block).error();
    (*block)->set_left_context(chunk.scope);
    Result<BlockPin> inserted = store_.insert(std::move(block).value());
    if (!inserted) return std::move(inserted).error();
    metrics_.chunk_encoded();
    return {};
}

void BackgroundWork::stop() {
    std::deque<PutJob> puts;
    {
        MutexLock lock(mutex_);
        stopped_ = true;
        puts.swap(puts_);
    }
    for (const PutJob& job : puts) {
        forget(job);
        job.done(Error{ErrorCode::kCancelled, "the server is shutting down"});
    }
}

}  // namespace spolia
