#include "broker/tasks/ledger.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "broker/tasks/words.h"

namespace spolia {
namespace {

// Shares of the sentences.
constexpr uint32_t kMatchEarlierPercent = 20;
constexpr uint32_t kMatchSamePercent = 6;
constexpr uint32_t kUpdatePercent = 9;
constexpr uint32_t kUpdateMatchesPercent = 30;  // of the updates
constexpr uint32_t kNeverPercent = 9;
constexpr uint32_t kNextAtEndPercent = 60;  // of the last sentences of chunks
constexpr uint32_t kNextInsidePercent = 5;
constexpr uint32_t kTailPercent = 25;
constexpr int32_t kDepthMax = 3;

std::vector<int32_t> shuffled_indices(size_t n, TaskRandom& random) {
    std::vector<int32_t> indices(n);
    std::iota(indices.begin(), indices.end(), 0);
    random.shuffle(std::span(indices));
    return indices;
}

void add_chunk(std::vector<int32_t>& chunks, int32_t chunk) {
    const auto at = std::ranges::lower_bound(chunks, chunk);
    if (at == chunks.end() || *at != chunk) chunks.insert(at, chunk);
}

class Writer {
public:
    Writer(const LedgerShape& shape, TaskRandom& random)
        : shape_(shape),
          random_(random),
          unused_(shuffled_indices(ship_names().size(), random)),
          n_left_(shape.n_chunks * shape.sentences_per_chunk) {
        ledger_.labels = shuffled_indices(note_labels().size(), random);
        assert(static_cast<size_t>(shape.n_chunks) <= ledger_.labels.size());
        assert(static_cast<size_t>(n_left_) <= unused_.size());
        ledger_.labels.resize(static_cast<size_t>(shape.n_chunks));
    }

    Ledger write() {
        for (chunk_ = 0; chunk_ < shape_.n_chunks; ++chunk_) {
            for (sentence_ = 0; sentence_ < shape_.sentences_per_chunk; ++sentence_) {
                write_sentence();
                --n_left_;
            }
        }
        return std::move(ledger_);
    }

private:
    // Those below that return a bool write their sentence, or nothing and false.
    void write_sentence() {
        if (antecedent_) {
            carries(Form::kItCarries, *antecedent_);
            antecedent_.reset();
            return;
        }
        // Each ship that is named must have a cargo in the end.
        const bool free = n_left_ > static_cast<int32_t>(promised_.size()) + 1;
        const bool written = !shape_.simple && free && (next() || update() || never());
        if (!written && !match_earlier_chunk() && !match_same_chunk()) {
            carries(Form::kCarries, ship_to_define());
        }
    }

    bool next() {
        const bool at_end = sentence_ + 1 == shape_.sentences_per_chunk;
        if (!random_.chance(at_end ? kNextAtEndPercent : kNextInsidePercent)) return false;
        const size_t ship = name_new();
        add({Form::kNext, chunk_, ledger_.ships[ship].ship});
        antecedent_ = ship;
        return true;
    }

    bool update() {
        if (!random_.chance(kUpdatePercent)) return false;
        const std::optional<size_t> ship = pick_ship(
            [&](size_t i) { return has_cargo(i) && !targeted_[i] && !ledger_.ships[i].updated(); });
        if (!ship) return false;
        ledger_.ships[*ship].old_cargo = ledger_.ships[*ship].cargo;
        if (random_.chance(kUpdateMatchesPercent)) {
            const std::optional<size_t> target =
                pick_target(*ship, [&](size_t i) { return ledger_.ships[i].path.back() < chunk_; });
            if (target) {
                matches(Form::kNowMatches, *ship, *target);
                return true;
            }
        }
        carries(Form::kNowCarries, *ship);
        return true;
    }

    bool never() {
        if (!random_.chance(kNeverPercent)) return false;
        const auto wanted = [&](size_t i) { return !ledger_.ships[i].negated; };
        std::optional<size_t> ship;
        const bool ahead =
            random_.chance(50) && n_left_ > static_cast<int32_t>(promised_.size()) + 2;
        if (ahead) {
            ship = name_new();
            promised_.push_back(*ship);
        } else {
            ship = pick_ship([&](size_t i) { return has_cargo(i) && wanted(i); });
        }
        if (!ship) return false;
        ShipState& state = ledger_.ships[*ship];
        state.never_cargo = other_cargo(*ship);
        state.negated = true;
        add({.form = Form::kNever,
             .chunk = chunk_,
             .ship = state.ship,
             .cargo = state.never_cargo});
        name_here(state);
        return true;
    }

    bool match_earlier_chunk() {
        if (!random_.chance(kMatchEarlierPercent)) return false;
        match([&](size_t i) { return ledger_.ships[i].path.back() < chunk_; });
        return true;
    }

    bool match_same_chunk() {
        if (!random_.chance(kMatchSamePercent)) return false;
        match([&](size_t i) {
            const std::vector<int32_t>& path = ledger_.ships[i].path;
            return path.size() == 1 && path.front() == chunk_;
        });
        return true;
    }

    // A match with one of the wanted ships; where there is none, the ship has a cargo of its own.
    template <typename Wanted>
    void match(Wanted wanted) {
        const size_t ship = ship_to_define();
        const std::optional<size_t> target = pick_target(ship, wanted);
        if (target) {
            matches(Form::kMatches, ship, *target);
        } else {
            carries(Form::kCarries, ship);
        }
    }

    void carries(Form form, size_t ship) {
        ShipState& state = ledger_.ships[ship];
        state.cargo = other_cargo(ship);
        state.depth = 0;
        state.plain = form == Form::kCarries;
        state.path = {chunk_};
        if (form == Form::kItCarries) add_chunk(state.path, state.named_in.back());
        state.form = form;
        add({.form = form, .chunk = chunk_, .ship = state.ship, .cargo = state.cargo});
        if (form != Form::kItCarries) name_here(state);
    }

    void matches(Form form, size_t ship, size_t target) {
        targeted_[target] = true;
        ShipState& to = ledger_.ships[target];
        ShipState& state = ledger_.ships[ship];
        state.cargo = to.cargo;
        state.depth = to.depth + 1;
        state.plain = form == Form::kMatches && to.plain;
        state.path = to.path;
        add_chunk(state.path, chunk_);
        state.form = form;
        add({form, chunk_, state.ship, to.ship, to.cargo});
        name_here(state);
        name_here(to);
    }

    void add(Statement statement) {
        if (shape_.tails && statement.form != Form::kNext && random_.chance(kTailPercent)) {
            statement.tail = static_cast<int32_t>(random_.below(sentence_tails().size()));
        }
        ledger_.statements.push_back(statement);
    }

    void name_here(ShipState& state) { add_chunk(state.named_in, chunk_); }

    // A ship that has no cargo yet: one that a sentence named already, or a new one.
    size_t ship_to_define() {
        const bool must = n_left_ <= static_cast<int32_t>(promised_.size());
        if (promised_.empty() || !(must || random_.chance(40))) return name_new();
        const size_t at = random_.below(promised_.size());
        const size_t ship = promised_[at];
        promised_.erase(promised_.begin() + static_cast<std::ptrdiff_t>(at));
        return ship;
    }

    size_t name_new() {
        ShipState& state = ledger_.ships.emplace_back();
        state.ship = unused_.back();
        state.named_in = {chunk_};
        state.first_statement = static_cast<int32_t>(ledger_.statements.size());
        unused_.pop_back();
        targeted_.push_back(false);
        return ledger_.ships.size() - 1;
    }

    bool has_cargo(size_t ship) const { return ledger_.ships[ship].cargo >= 0; }

    template <typename Wanted>
    std::optional<size_t> pick_ship(Wanted wanted) {
        std::vector<size_t> found;
        for (size_t i = 0; i < ledger_.ships.size(); ++i) {
            if (wanted(i)) found.push_back(i);
        }
        if (found.empty()) return std::nullopt;
        return random_.pick(std::span<const size_t>(found));
    }

    // A ship that `ship` can match. Half of the time one that itself matches another, where there
    // is one, so that paths of all lengths occur.
    template <typename Wanted>
    std::optional<size_t> pick_target(size_t ship, Wanted wanted) {
        const ShipState& state = ledger_.ships[ship];
        const auto fits = [&](size_t i) {
            const ShipState& target = ledger_.ships[i];
            return i != ship && has_cargo(i) && target.depth < kDepthMax &&
                   target.cargo != state.never_cargo && target.cargo != state.cargo && wanted(i);
        };
        if (random_.chance(50)) {
            const auto deep =
                pick_ship([&](size_t i) { return ledger_.ships[i].depth > 0 && fits(i); });
            if (deep) return deep;
        }
        return pick_ship(fits);
    }

    // A cargo that the ship neither has, had nor is said never to have.
    int32_t other_cargo(size_t ship) {
        const ShipState& state = ledger_.ships[ship];
        for (;;) {
            const auto cargo = static_cast<int32_t>(random_.below(cargo_words().size()));
            if (cargo != state.cargo && cargo != state.old_cargo && cargo != state.never_cargo)
                return cargo;
        }
    }

    const LedgerShape shape_;
    TaskRandom& random_;
    std::vector<int32_t> unused_;
    int32_t n_left_;  // sentences to write, this one included
    int32_t chunk_ = 0;
    int32_t sentence_ = 0;
    Ledger ledger_;
    std::vector<bool> targeted_;        // ships that another one matches
    std::vector<size_t> promised_;      // ships that are named and have no cargo yet
    std::optional<size_t> antecedent_;  // what "it" would be now
};

}  // namespace

Ledger write_ledger(const LedgerShape& shape, TaskRandom& random) {
    return Writer(shape, random).write();
}

}  // namespace spolia
