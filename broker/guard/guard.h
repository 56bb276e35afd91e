#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "broker/guard/calibration.h"
#include "broker/guard/sample.h"

namespace spolia {

// Why a request is computed densely although blocks were at hand.
inline constexpr std::string_view kUncalibrated = "uncalibrated";
inline constexpr std::string_view kOverBudget = "over_budget";
inline constexpr std::string_view kDemoted = "demoted";
inline constexpr std::string_view kInDoubt = "in_doubt";  // each rung that might serve composed it

// A rung of a request's ladder, as the guard is asked about it.
struct RungRisk {
    std::string_view label;
    double risk = 1;
};

struct GuardDecision {
    std::optional<size_t> rung;  // index of the cheapest one that may serve; nullopt: dense
    double max_doubt = 0;        // what it composes with more doubt is not for it to serve
    std::string_view refusal;    // why dense
    double predicted_kl = 0;     // of the rung
};

// What a sample changed about its rung.
enum class GuardChange : uint8_t {
    kNone,
    kServes,    // it serves other requests now, or none, or some for the first time
    kDemotion,  // it broke its promise
};

// What outlives the process of one rung.
struct RungRecord {
    std::string label;
    std::vector<GuardSample> samples;  // oldest first
    bool demoted = false;
    uint64_t n_demotions = 0;
};

// A rung as metrics and people see it, under the default budget.
struct RungState {
    std::string label;
    size_t n_samples = 0;
    GuardRegion serves = GuardRegion::nothing();
    bool demoted = false;
    uint64_t n_demotions = 0;
};

// P(at least `k` of `n` events happen) when each does with probability p.
double binomial_tail(size_t n, size_t k, double p);

// Decides which rung of a ladder a request may be served by, from what shadow prefills said of each
// rung; a rung is known by its label, whoever asks for it. A rung that breaks its promise on
// requests it served is demoted: its samples are dropped, and it serves nothing until fresh ones
// prove it again. Pure state, not thread-safe.
class Guard {
public:
    // Clients name settings of their own: beyond the bound, the one of theirs that was left alone
    // for the longest time is forgotten.
    static constexpr size_t kRungsMax = 64;

    explicit Guard(const GuardBudget& budget) : budget_(budget) {}

    // A rung that the configuration names is never forgotten.
    void expect(std::string_view label) { rung(label).expected = true; }

    // Rungs come cheapest first; those in front of `first` are out of the question. Under another
    // budget than the default one only the cheapest may serve: what reaches dearer ones depends on
    // the budget, and their samples are what reached them under the default.
    GuardDecision decide(std::span<const RungRisk> rungs, const GuardBudget& budget,
                         size_t first = 0) const;

    // Whether every request that could be compared should be, not only a share of them: to serve
    // soon, or to find out soon whether what it serves is right. Other budgets than the default one
    // make do with the share.
    bool learning(std::string_view label) const;
    bool proving(std::string_view label) const;

    // A shadow of a request that ran dense, or that the rung served under `budget`. Once it changes
    // what the rung serves, other requests reach the dearer ones of a ladder than those that their
    // samples were drawn from: those are for restart().
    GuardChange observe(std::string_view label, const GuardSample& sample);
    GuardChange observe_served(std::string_view label, const GuardSample& sample,
                               const GuardBudget& budget);
    // Drops what is known of the rung, but for its past.
    void restart(std::string_view label);

    std::vector<RungState> states() const;
    std::vector<RungRecord> records() const;
    // Takes over what an earlier process knew.
    void restore(const std::vector<RungRecord>& records);

private:
    struct Served {
        uint64_t prompt = 0;
        bool over = false;
        bool disagrees = false;
        double disagreement_allowed = 0;
    };
    struct Rung {
        Calibration calibration;
        std::deque<Served> served;  // the last requests served that were shadowed
        bool demoted = false;
        uint64_t n_demotions = 0;
        bool expected = false;
        uint64_t last_sample = 0;  // by n_samples_
    };

    Rung& rung(std::string_view label);
    void forget_one();
    const Rung* find(std::string_view label) const;
    static bool breaks_promise(const std::deque<Served>& served);

    GuardBudget budget_;
    std::map<std::string, Rung, std::less<>> rungs_;
    uint64_t n_samples_ = 0;
};

}  // namespace spolia
