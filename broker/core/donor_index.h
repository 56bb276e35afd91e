#pragma once

#include <cstddef>
#include <filesystem>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "adapters/text_model.h"
#include "broker/core/donor.h"
#include "broker/core/residence.h"
#include "index/fingerprint.h"
#include "index/segment.h"
#include "index/text_embedder.h"
#include "index/thread_annotations.h"
#include "index/token.h"
#include "index/vector_index.h"

namespace spolia {

struct DonorOptions {
    bool enabled = true;
    // Of all tenants together. What was neither added nor of use for the longest goes first.
    size_t texts_max = 32768;
    size_t candidates_max = 4;    // that a chunk is compared with, token by token
    float similarity_min = 0.6f;  // of candidates; whether they are of use, their tokens say
};

struct DonorSearch {
    std::vector<Donor> donors;
    // Keys of chunks that have a block and are not known, or are known and have none.
    std::vector<Key128> doubtful;
};

// The texts of chunks that have a block, found by likeness: they can be donors for a chunk that
// has none. Those of one scope (a model's and a tenant's, by its scope_key()) are never found for
// another. Any thread; find() does not wait for those that add and remove.
class DonorIndex {
public:
    // `file` keeps the vectors; empty: nothing is kept.
    DonorIndex(const TextModel& text, const Key128& model, const DonorOptions& options,
               const std::filesystem::path& file);
    // What was wrong with the file; empty when nothing was. The index serves without.
    const std::string& open_warning() const { return open_warning_; }

    // Donors for the chunks of a prompt that are nowhere. Borrows nothing.
    DonorSearch find(const std::string& tenant, std::span<const Token> prompt,
                     std::span<const Segment> segments, const FindResidence& find);

    // Whether the text is known, or its vector is in the file and it is known from here on.
    bool take_up(const Key128& scope, const Key128& key, std::span<const Token> tokens)
        EXCLUDES(write_mutex_, mutex_);
    // Removes the vectors of the file that nobody has taken up.
    void drop_others() EXCLUDES(write_mutex_);
    // `key` is the chunk_key() of the tokens in this scope. False where it was known, and is the
    // last to go from here on.
    bool add(const Key128& scope, const Key128& key, std::span<const Token> tokens)
        EXCLUDES(write_mutex_, mutex_);
    // False when it was not known.
    bool remove(const Key128& key) EXCLUDES(write_mutex_, mutex_);
    // Replaces the file in one step.
    Status save() { return vectors_->save(); }

    struct Text {
        Key128 key;
        std::shared_ptr<const std::vector<Token>> tokens;
    };
    std::vector<Text> texts() const EXCLUDES(mutex_);
    size_t size() const EXCLUDES(mutex_);
    // Vectors held of a scope.
    size_t n_vectors(const Key128& scope) const { return vectors_->size(scope); }

private:
    using Tokens = std::shared_ptr<const std::vector<Token>>;
    struct Known {
        Key128 scope;
        Tokens tokens;
        std::list<Key128>::iterator use;
    };

    static std::unique_ptr<VectorIndex> open_vectors(const TextEmbedder& embedder,
                                                     const std::filesystem::path& file,
                                                     std::string& warning);
    std::vector<float> embed(std::span<const Token> tokens) const;
    void remember(const Key128& scope, const Key128& key, std::span<const Token> tokens)
        REQUIRES(write_mutex_) EXCLUDES(mutex_);
    // Marks it as the one last of use; false where it is not known.
    bool touch(const Key128& key) EXCLUDES(mutex_);
    Tokens tokens_of(const Key128& key) const EXCLUDES(mutex_);
    std::vector<Text> candidates(const KeyScope& scope, std::span<const float> vector,
                                 const FindResidence& find, std::vector<Key128>& absent) const;
    std::optional<Donor> best_donor(const KeyScope& scope, size_t part, TokenSpan chunk,
                                    std::span<const Token> prompt, const FindResidence& find,
                                    std::vector<Key128>& absent) const;

    const TextModel& text_;
    const Key128 model_;
    const DonorOptions options_;
    const std::unique_ptr<const TextEmbedder> embedder_;
    std::string open_warning_;
    const std::unique_ptr<VectorIndex> vectors_;

    Mutex write_mutex_;  // one writer at a time; taken before mutex_
    // Scope and key of the file's vectors whose texts are not known.
    std::set<std::pair<Key128, Key128>> others_ GUARDED_BY(write_mutex_);
    bool add_failed_ GUARDED_BY(write_mutex_) = false;  // said once

    mutable Mutex mutex_;  // held for a look-up only
    std::unordered_map<Key128, Known, Key128Hash> known_ GUARDED_BY(mutex_);
    std::list<Key128> by_use_ GUARDED_BY(mutex_);  // of known_, the last of use at the end
};

}  // namespace spolia
