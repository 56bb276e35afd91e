#pragma once

#include <cstddef>
#include <span>

#include "broker/guard/sample.h"

namespace spolia {

// What a bet against "at least `allowance` of all requests are bad" has grown to from 1 after n
// requests of which n_bad were: it gains with each good one and loses with each bad one, so that
// where the claim is true the bet can't be expected to grow, however long it goes on. It ever
// exceeds x with a chance of at most 1 / x then (Ville's inequality; the bets are those of Waudby-
// Smith and Ramdas, arXiv 2010.09686). Infinite where the allowance is everything.
double bet_against(double allowance, size_t n, size_t n_bad);

// Whether one setting of a selector may serve requests under one budget, and which ones. It is a
// test that runs along with the samples, and may be asked after every one of them:
//
// A region of requests is on trial, all of them at first. There is a bet against too many of them
// being over the budget, and one against too many having another first token; once both have grown
// tenfold the region is proven and may be served. A region that holds more bad requests than the
// budget allows is proven with a chance of at most 0.1, one that holds twice as many with 0.007, if
// samples are drawn like the requests to come. Where a bet falls below its stake, the region is
// given up, and the samples so far choose another, which only fresh samples can prove. A setting
// gets as many trials as it needs: where all its regions hold the same share, one of 2 % gets
// through in one of twenty, one of 1.5 % in one of seven (4,000 samples).
//
// A proven region is given up when the samples that go on coming have cost a bet nine tenths of its
// stake.
class Trial {
public:
    explicit Trial(const GuardBudget& budget);

    // `samples`: all so far, oldest first; the last one is new.
    void add(std::span<const GuardSample> samples);

    const GuardBudget& budget() const { return budget_; }
    bool proven() const { return proven_; }
    // What may be served; nothing() unless it is proven.
    GuardRegion serves() const { return proven_ ? region_ : GuardRegion::nothing(); }

    // How many samples prove a setting that is never bad; more than `most` where no number up to
    // it does.
    static size_t samples_needed(const GuardBudget& budget, size_t most);

private:
    double smaller_bet() const;
    void try_another(std::span<const GuardSample> samples);

    GuardBudget budget_;
    GuardRegion region_ = GuardRegion::everything();
    bool proven_ = false;
    size_t n_ = 0;  // in the region since it is on trial
    size_t n_over_ = 0;
    size_t n_disagree_ = 0;
    size_t n_until_choice_;  // samples until there are enough to choose another region by
};

}  // namespace spolia
