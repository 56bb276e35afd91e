#include "broker/core/chunk_registry.h"

#include <utility>

#include "index/whole_file.h"

namespace spolia {

ChunkRegistry::ChunkRegistry(const ChunkRegistryOptions& options, const Key128& model)
    : options_(options), model_(model) {
    if (options_.file.empty()) return;
    Result<std::vector<RegisteredChunk>> chunks = read_registry_file(options_.file, model);
    if (chunks) {
        MutexLock lock(mutex_);
        for (RegisteredChunk& chunk : *chunks) add(std::move(chunk));
    } else if (chunks.error().code == ErrorCode::kCorrupt) {
        open_warning_ = chunks.error().message + "; set aside as " +
                        set_file_aside(options_.file).string() + ", register them again";
    }
}

Status ChunkRegistry::put(const std::string& tenant, const std::string& name,
                          std::span<const Token> tokens) {
    RegisteredChunk chunk{
        tenant, name, chunk_key({model_, tenant}, tokens), {tokens.begin(), tokens.end()}};
    MutexLock lock(mutex_);
    const auto found = tenants_.find(tenant);
    const bool known = found != tenants_.end() && found->second.chunks.contains(chunk.key);
    if (!known &&
        (n_chunks_ >= options_.chunks_max || tokens.size() > options_.tokens_max - n_tokens_)) {
        return Error{ErrorCode::kOverloaded, "the registry is full (" + std::to_string(n_chunks_) +
                                                 " chunks, " + std::to_string(n_tokens_) +
                                                 " tokens); delete chunks first"};
    }
    add(std::move(chunk));
    ++version_;
    return {};
}

void ChunkRegistry::add(RegisteredChunk chunk) {
    Tenant& tenant = tenants_[chunk.tenant];
    const auto [at, is_new] = tenant.chunks.try_emplace(chunk.key, chunk);
    if (!is_new) {
        at->second.name = std::move(chunk.name);
        return;
    }
    tenant.set_current = false;
    ++n_chunks_;
    n_tokens_ += chunk.tokens.size();
}

std::optional<RegisteredChunk> ChunkRegistry::get(const std::string& tenant,
                                                  const Key128& key) const {
    MutexLock lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return std::nullopt;
    const auto chunk = found->second.chunks.find(key);
    if (chunk == found->second.chunks.end()) return std::nullopt;
    return chunk->second;
}

std::vector<RegisteredChunk> ChunkRegistry::list(const std::string& tenant) const {
    MutexLock lock(mutex_);
    std::vector<RegisteredChunk> chunks;
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return chunks;
    for (const auto& [key, chunk] : found->second.chunks) chunks.push_back(chunk);
    return chunks;
}

bool ChunkRegistry::erase(const std::string& tenant, const Key128& key) {
    MutexLock lock(mutex_);
    const auto found = tenants_.find(tenant);
    if (found == tenants_.end()) return false;
    const auto chunk = found->second.chunks.find(key);
    if (chunk == found->second.chunks.end()) return false;
    n_tokens_ -= chunk->second.tokens.size();
    --n_chunks_;
    found->second.chunks.erase(chunk);
    found->second.set_current = false;
    if (found->second.chunks.empty()) tenants_.erase(found);
    ++version_;
    return true;
}

Status ChunkRegistry::save() {
    if (options_.file.empty()) return {};
    MutexLock saving(save_mutex_);
    std::string bytes;
    uint64_t version = 0;
    {
        MutexLock lock(mutex_);
        version = version_;
        if (version == version_saved_) return {};
        std::vector<const RegisteredChunk*> chunks;
        for (const auto& [name, tenant] : tenants_) {
            for (const auto& [key, chunk] : tenant.chunks) chunks.push_back(&chunk);
        }
        bytes = format_registry(model_, chunks);
    }
    Status written = write_registry_file(options_.file, bytes);
    if (written) version_saved_ = version;
    return written;
}

std::vector<Segment> ChunkRegistry::segment(const TokenizedText& prompt,
                                            std::span<const TextSpan> spans, const KeyScope& scope,
                                            const ChunkerOptions& options) {
    MutexLock lock(mutex_);
    const auto found = tenants_.find(scope.tenant_salt);
    if (found == tenants_.end()) return segment_prompt(prompt, spans, scope, options, nullptr);
    if (!found->second.set_current) rebuild_set(found->second);
    return segment_prompt(prompt, spans, scope, options, &found->second.set);
}

void ChunkRegistry::rebuild_set(Tenant& tenant) {
    RegisteredChunkSet::Builder builder;
    for (const auto& [key, chunk] : tenant.chunks) {
        // The registry's bound is below the builder's, so nothing is refused.
        if (!builder.add(chunk.tokens)) break;
    }
    tenant.set = std::move(builder).build();
    tenant.set_current = true;
}

}  // namespace spolia
