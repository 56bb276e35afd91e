#include "index/token_alignment.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <optional>

namespace spolia {
namespace {

// Of windows that a text repeats, the longest continuation is chosen among so many.
constexpr int kCandidatesMax = 32;

// Hashes of all windows of a text, in order: sum of token * base^i, modulo 2^64.
class WindowHashes {
public:
    WindowHashes(std::span<const Token> tokens, size_t window) : tokens_(tokens), window_(window) {
        for (size_t i = 0; i < window; ++i) {
            hash_ = hash_ * kBase + value(i);
            if (i > 0) leading_ *= kBase;
        }
    }

    uint64_t hash() const { return hash_; }
    // To the window behind. There must be one.
    void advance() {
        hash_ = (hash_ - value(at_) * leading_) * kBase + value(at_ + window_);
        ++at_;
    }

private:
    static constexpr uint64_t kBase = 0x9e3779b97f4a7c15;

    uint64_t value(size_t i) const { return static_cast<uint32_t>(tokens_[i]) + uint64_t{1}; }

    const std::span<const Token> tokens_;
    const size_t window_;
    size_t at_ = 0;
    uint64_t hash_ = 0;
    uint64_t leading_ = 1;  // what the first token of a window counts
};

// Where the windows of a text begin, by hash: chains through one array.
class WindowTable {
public:
    static constexpr int32_t kNone = -1;

    WindowTable(std::span<const Token> tokens, size_t window)
        : n_windows_(tokens.size() - window + 1),
          shift_(64 - static_cast<int>(std::bit_width(n_windows_))),
          first_(size_t{1} << std::bit_width(n_windows_), kNone),
          next_(n_windows_) {
        WindowHashes hashes(tokens, window);
        // Later windows come first in their chain.
        for (size_t at = 0;; hashes.advance()) {
            int32_t& head = first_[slot(hashes.hash())];
            next_[at] = head;
            head = static_cast<int32_t>(at);
            if (++at == n_windows_) break;
        }
    }

    // Some that have this hash, and others.
    int32_t first(uint64_t hash) const { return first_[slot(hash)]; }
    int32_t next(int32_t window) const { return next_[static_cast<size_t>(window)]; }

private:
    // The upper bits of a product are its best.
    size_t slot(uint64_t hash) const { return (hash * 0xd6e8feb86659fd93) >> shift_; }

    const size_t n_windows_;
    const int shift_;
    std::vector<int32_t> first_;  // by slot
    std::vector<int32_t> next_;   // by window
};

class Aligner {
public:
    Aligner(std::span<const Token> ours, std::span<const Token> theirs, size_t window)
        : ours_(ours), theirs_(theirs), window_(window), table_(theirs, window) {}

    std::vector<TokenRun> run() && {
        const size_t n_windows = ours_.size() - window_ + 1;
        WindowHashes hashes(ours_, window_);
        for (size_t at = 0;;) {
            const TokenRun match = longest(hashes.hash(), at);
            const auto end = static_cast<size_t>(match.ours + match.n);
            if (match.n > 0 && end > covered_) add(match);
            // Windows that reach out of what is covered by one token or more.
            const size_t next = std::max(at + 1, covered_ >= window_ ? covered_ - window_ + 1 : 0);
            if (next >= n_windows) return std::move(runs_);
            for (; at < next; ++at) hashes.advance();
        }
    }

private:
    size_t common(size_t ours, size_t theirs) const {
        const auto a = ours_.subspan(ours), b = theirs_.subspan(theirs);
        return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
    }

    // What begins at ours[at]; of length 0 where that is less than a window.
    TokenRun longest(uint64_t hash, size_t at) const {
        TokenRun best{static_cast<int32_t>(at), 0, 0};
        int n_tried = 0;
        for (int32_t begin = table_.first(hash);
             begin != WindowTable::kNone && n_tried < kCandidatesMax; begin = table_.next(begin)) {
            const auto n = static_cast<int32_t>(common(at, static_cast<size_t>(begin)));
            if (n < static_cast<int32_t>(window_)) continue;
            ++n_tried;
            if (n > best.n) best = {best.ours, begin, n};
        }
        return best;
    }

    void add(TokenRun run) {
        const int32_t taken = std::max(0, static_cast<int32_t>(covered_) - run.ours);
        run = {run.ours + taken, run.theirs + taken, run.n - taken};
        covered_ = static_cast<size_t>(run.ours + run.n);
        runs_.push_back(run);
    }

    const std::span<const Token> ours_, theirs_;
    const size_t window_;
    const WindowTable table_;
    size_t covered_ = 0;  // of ours, up to here; what is in front and in no run has no partner
    std::vector<TokenRun> runs_;
};

}  // namespace

std::vector<TokenRun> align_tokens(std::span<const Token> ours, std::span<const Token> theirs,
                                   int32_t run_min) {
    const auto window = static_cast<size_t>(std::max(run_min, 1));
    if (ours.size() < window || theirs.size() < window) return {};
    return Aligner(ours, theirs, window).run();
}

}  // namespace spolia
