#include "broker/core/donor_index.h"

#include "broker/log.h"
#include "index/hashed_embedder.h"

namespace spolia {
namespace {

// Vectors that a search for one chunk looks through at most where the blocks of the nearest are
// gone.
constexpr size_t kHitsMax = 128;

}  // namespace

DonorIndex::DonorIndex(const TextModel& text, const Key128& model, const DonorOptions& options,
                       const std::filesystem::path& file)
    : text_(text),
      model_(model),
      options_(options),
      embedder_(make_hashed_embedder()),
      vectors_(open_vectors(*embedder_, file, open_warning_)) {
    MutexLock writing(write_mutex_);
    for (const VectorName& name : vectors_->list()) others_.emplace(name.partition, name.id);
}

std::unique_ptr<VectorIndex> DonorIndex::open_vectors(const TextEmbedder& embedder,
                                                      const std::filesystem::path& file,
                                                      std::string& warning) {
    const auto open = [&](const std::filesystem::path& path) {
        return VectorIndex::open({.file = path}, embedder.fingerprint(), embedder.n_dims());
    };
    Result<std::unique_ptr<VectorIndex>> vectors = open(file);
    if (!vectors) {
        warning = vectors.error().message + "; the vectors of donors are made anew and not kept";
        vectors = open({});  // without a file nothing can fail
    } else if (!(*vectors)->open_warning().empty()) {
        warning = (*vectors)->open_warning() + ", to be filled from the blocks";
    }
    return std::move(vectors).value();
}

std::vector<float> DonorIndex::embed(std::span<const Token> tokens) const {
    std::string text;
    for (const Token token : tokens) text += text_.piece(token);
    const std::string_view view = text;
    Result<std::vector<float>> vector = embedder_->embed({&view, 1});
    return vector ? std::move(vector).value() : std::vector<float>();
}

DonorSearch DonorIndex::find(const std::string& tenant, std::span<const Token> prompt,
                             std::span<const Segment> segments, const FindResidence& find) {
    const KeyScope scope{model_, tenant};
    DonorSearch search;
    for (size_t part = 0; part < segments.size(); ++part) {
        const Segment& segment = segments[part];
        if (segment.role != SegmentRole::kChunk) continue;
        const auto tokens = prompt.subspan(segment.span.begin, segment.span.size());
        if (present(find(segment.key, tokens))) {
            if (!touch(segment.key)) search.doubtful.push_back(segment.key);
            continue;
        }
        std::optional<Donor> donor =
            best_donor(scope, part, segment.span, prompt, find, search.doubtful);
        if (!donor) continue;
        touch(donor->text->key);
        search.donors.push_back(*std::move(donor));
    }
    return search;
}

std::optional<Donor> DonorIndex::best_donor(const KeyScope& scope, size_t part, TokenSpan chunk,
                                            std::span<const Token> prompt,
                                            const FindResidence& find,
                                            std::vector<Key128>& absent) const {
    const std::vector<float> vector = embed(prompt.subspan(chunk.begin, chunk.size()));
    std::optional<Donor> best;
    for (const Text& text : candidates(scope, vector, find, absent)) {
        std::optional<Donor> donor =
            make_donor(part, chunk, prompt, make_donor_text(text_, text.key, *text.tokens));
        if (donor && (!best || donor->n_rows() > best->n_rows())) best = std::move(donor);
    }
    return best;
}

// The nearest that have a block. A key is looked at once more: whatever the vectors' file says, no
// text of another scope is ever a candidate.
std::vector<DonorIndex::Text> DonorIndex::candidates(const KeyScope& scope,
                                                     std::span<const float> vector,
                                                     const FindResidence& find,
                                                     std::vector<Key128>& absent) const {
    std::vector<Text> nearest;
    size_t n_seen = 0;
    for (size_t n_hits = 2 * options_.candidates_max; n_hits <= kHitsMax; n_hits *= 4) {
        const std::vector<VectorHit> hits = vectors_->search(scope_key(scope), vector, n_hits);
        for (; n_seen < hits.size(); ++n_seen) {
            const VectorHit& hit = hits[n_seen];
            if (hit.score < options_.similarity_min) return nearest;
            const Tokens tokens = tokens_of(hit.id);
            if (tokens == nullptr || chunk_key(scope, *tokens) != hit.id) continue;
            if (present(find(hit.id, *tokens))) {
                nearest.push_back({hit.id, tokens});
                if (nearest.size() == options_.candidates_max) return nearest;
            } else {
                absent.push_back(hit.id);
            }
        }
        if (hits.size() < n_hits) return nearest;
    }
    return nearest;
}

bool DonorIndex::take_up(const Key128& scope, const Key128& key, std::span<const Token> tokens) {
    MutexLock writing(write_mutex_);
    if (tokens_of(key) != nullptr) return true;
    if (others_.erase({scope, key}) == 0) return false;
    remember(scope, key, tokens);
    return true;
}

void DonorIndex::drop_others() {
    MutexLock writing(write_mutex_);
    for (const auto& [scope, key] : others_) vectors_->remove(scope, key);
    others_.clear();
}

bool DonorIndex::add(const Key128& scope, const Key128& key, std::span<const Token> tokens) {
    MutexLock writing(write_mutex_);
    if (touch(key)) return false;
    if (others_.erase({scope, key}) == 0) {
        if (const Status added = vectors_->add(scope, key, embed(tokens)); !added) {
            if (!add_failed_) log_event(LogLevel::kWarning, added.error().message);
            add_failed_ = true;
            return false;
        }
    }
    remember(scope, key, tokens);
    return true;
}

void DonorIndex::remember(const Key128& scope, const Key128& key, std::span<const Token> tokens) {
    std::optional<std::pair<Key128, Key128>> evicted;  // scope, key
    {
        MutexLock lock(mutex_);
        by_use_.push_back(key);
        auto copy = std::make_shared<const std::vector<Token>>(tokens.begin(), tokens.end());
        known_.insert_or_assign(key, Known{scope, std::move(copy), std::prev(by_use_.end())});
        if (known_.size() > options_.texts_max) {
            const auto oldest = known_.find(by_use_.front());
            evicted.emplace(oldest->second.scope, oldest->first);
            known_.erase(oldest);
            by_use_.pop_front();
        }
    }
    if (evicted) vectors_->remove(evicted->first, evicted->second);
}

bool DonorIndex::remove(const Key128& key) {
    MutexLock writing(write_mutex_);
    Key128 scope;
    {
        MutexLock lock(mutex_);
        const auto found = known_.find(key);
        if (found == known_.end()) return false;
        scope = found->second.scope;
        by_use_.erase(found->second.use);
        known_.erase(found);
    }
    vectors_->remove(scope, key);
    return true;
}

bool DonorIndex::touch(const Key128& key) {
    MutexLock lock(mutex_);
    const auto found = known_.find(key);
    if (found == known_.end()) return false;
    by_use_.splice(by_use_.end(), by_use_, found->second.use);
    return true;
}

DonorIndex::Tokens DonorIndex::tokens_of(const Key128& key) const {
    MutexLock lock(mutex_);
    const auto found = known_.find(key);
    return found == known_.end() ? nullptr : found->second.tokens;
}

std::vector<DonorIndex::Text> DonorIndex::texts() const {
    MutexLock lock(mutex_);
    std::vector<Text> texts;
    texts.reserve(known_.size());
    for (const auto& [key, known] : known_) texts.push_back({key, known.tokens});
    return texts;
}

size_t DonorIndex::size() const {
    MutexLock lock(mutex_);
    return known_.size();
}

}  // namespace spolia
