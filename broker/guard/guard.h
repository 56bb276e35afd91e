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

namespace spolia {

// Why a request is computed densely although blocks were at hand.
inline constexpr std::string_view kUncalibrated = "uncalibrated";
inline constexpr std::string_view kOverBudget = "over_budget";
inline constexpr std::string_view kDemoted = "demoted";

// A rung of a request's ladder, as the guard is asked about it.
struct RungRisk {
    std::string_view label;
    double risk = 1;
};

struct GuardDecision {
    std::optional<size_t> rung;  // index of the cheapest one that may serve; nullopt: dense
    std::string_view refusal;    // why dense
    double predicted_kl = 0;     // of the rung
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
    std::optional<double> max_risk = {};  // served up to; nullopt: serves nothing
    bool demoted = false;
    uint64_t n_demotions = 0;
};

// P(at least `k` of `n` events happen) when each does with probability p.
double binomial_tail(size_t n, size_t k, double p);

// Decides which rung of a ladder a request may be served by, from what shadow prefills said of each
// rung; a rung is known by its label, whoever asks for it. A rung that breaks its promise on
// requests it served is demoted: its samples are dropped, and it serves nothing until there are
// enough new ones. Pure state, not thread-safe.
class Guard {
public:
    // Clients name settings of their own: those beyond the bound are never served under guard.
    static constexpr size_t kRungsMax = 64;

    explicit Guard(const GuardBudget& budget) : budget_(budget) {}

    // Makes sure that there is room for a rung that the configuration names.
    void expect(std::string_view label) { (void)rung(label); }

    // Rungs come cheapest first.
    GuardDecision decide(std::span<const RungRisk> rungs, const GuardBudget& budget) const;

    // Whether every request that could be compared should be, not only a share of them: to serve
    // soon, or to find out soon whether what it serves is right.
    bool learning(std::string_view label, const GuardBudget& budget) const;
    bool proving(std::string_view label) const;

    // A shadow of a request that ran dense.
    void observe(std::string_view label, const GuardSample& sample);
    // A shadow of a request that the rung served under `budget`. True when that demoted it.
    bool observe_served(std::string_view label, const GuardSample& sample,
                        const GuardBudget& budget);

    std::vector<RungState> states() const;
    std::vector<RungRecord> records() const;
    // Takes over what an earlier process knew.
    void restore(const std::vector<RungRecord>& records);

private:
    struct Served {
        bool over = false;
        bool disagrees = false;
        double disagreement_allowed = 0;
    };
    struct Rung {
        Calibration calibration;
        std::deque<Served> served;  // the last requests served that were shadowed
        bool demoted = false;
        uint64_t n_demotions = 0;
    };

    Rung* rung(std::string_view label);
    const Rung* find(std::string_view label) const;
    static bool breaks_promise(const std::deque<Served>& served);

    GuardBudget budget_;
    std::map<std::string, Rung, std::less<>> rungs_;
};

}  // namespace spolia
