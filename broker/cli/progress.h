#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace spolia {

// A bar on stderr with the time that is left. Shows nothing where stderr is no terminal, or when
// told to be quiet.
class ProgressBar {
public:
    ProgressBar(std::string name, bool quiet);
    ~ProgressBar() { clear(); }
    ProgressBar(const ProgressBar&) = delete;
    ProgressBar& operator=(const ProgressBar&) = delete;

    void show(size_t n_done, size_t n_all);
    // Makes room for a line; the next show() brings the bar back.
    void clear();

private:
    using Clock = std::chrono::steady_clock;

    const std::string name_;
    const bool shown_;
    const Clock::time_point begin_ = Clock::now();
};

}  // namespace spolia
