#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "broker/core/registry_file.h"
#include "index/chunker.h"
#include "index/fingerprint.h"
#include "index/registered_chunks.h"
#include "index/result.h"
#include "index/segment.h"
#include "index/thread_annotations.h"
#include "index/token.h"

namespace spolia {

struct ChunkRegistryOptions {
    std::filesystem::path file;  // empty: forgotten at the end
    size_t chunks_max = size_t{1} << 16;
    size_t tokens_max = size_t{1} << 24;
};

// The chunks that clients have registered by name, each its tenant's alone, to be found anywhere in
// that tenant's prompts. Outlives the process in a file that is replaced as a whole. Thread-safe.
class ChunkRegistry {
public:
    // A file that is damaged or another model's is set aside, and the registry starts empty.
    ChunkRegistry(const ChunkRegistryOptions& options, const Key128& model);

    // Registers a chunk; the same tokens again only take the new name. kOverloaded when full.
    Status put(const std::string& tenant, const std::string& name, std::span<const Token> tokens);
    std::optional<RegisteredChunk> get(const std::string& tenant, const Key128& key) const;
    std::vector<RegisteredChunk> list(const std::string& tenant) const;
    // False when there is no such chunk.
    bool erase(const std::string& tenant, const Key128& key);
    // Writes what has changed since the last call. A failure leaves the file as it was.
    Status save();

    // segment_prompt() with the tenant's registered chunks. One caller at a time.
    std::vector<Segment> segment(const TokenizedText& prompt, std::span<const TextSpan> spans,
                                 const KeyScope& scope, const ChunkerOptions& options);

    // What became of the file when it was opened; empty: it was there and whole, or not there.
    const std::string& open_warning() const { return open_warning_; }

private:
    struct Tenant {
        std::map<Key128, RegisteredChunk> chunks;
        RegisteredChunkSet set;
        bool set_current = true;  // `set` has all of `chunks`
    };

    void add(RegisteredChunk chunk) REQUIRES(mutex_);
    static void rebuild_set(Tenant& tenant);

    const ChunkRegistryOptions options_;
    const Key128 model_;
    std::string open_warning_;

    mutable Mutex mutex_;
    std::map<std::string, Tenant> tenants_ GUARDED_BY(mutex_);
    size_t n_chunks_ GUARDED_BY(mutex_) = 0;
    size_t n_tokens_ GUARDED_BY(mutex_) = 0;
    uint64_t version_ GUARDED_BY(mutex_) = 0;

    Mutex save_mutex_;  // one writer of the file at a time; taken before mutex_
    uint64_t version_saved_ GUARDED_BY(save_mutex_) = 0;
};

}  // namespace spolia
