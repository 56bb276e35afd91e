#include "broker/cli/progress.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace spolia {
namespace {

constexpr size_t kCells = 30;
constexpr const char* kClearLine = "\r\033[K";

std::string duration_text(double seconds) {
    char text[32];
    if (seconds < 90) {
        std::snprintf(text, sizeof text, "%.0f s", seconds);
    } else {
        std::snprintf(text, sizeof text, "%.0f min", seconds / 60);
    }
    return text;
}

}  // namespace

ProgressBar::ProgressBar(std::string name, bool quiet)
    : name_(std::move(name)), shown_(!quiet && isatty(STDERR_FILENO) == 1) {}

void ProgressBar::clear() {
    if (shown_) std::fputs(kClearLine, stderr);
}

void ProgressBar::show(size_t n_done, size_t n_all) {
    if (!shown_ || n_all == 0) return;
    const size_t n_full = kCells * n_done / n_all;
    std::string left;
    if (n_done > 0) {
        const double seconds = std::chrono::duration<double>(Clock::now() - begin_).count();
        const double n_left = static_cast<double>(n_all - n_done);
        left = ", " + duration_text(seconds / static_cast<double>(n_done) * n_left) + " left";
    }
    std::fprintf(stderr, "%s%s [%s%s] %zu/%zu%s", kClearLine, name_.c_str(),
                 std::string(n_full, '#').c_str(), std::string(kCells - n_full, '.').c_str(),
                 n_done, n_all, left.c_str());
    std::fflush(stderr);
}

}  // namespace spolia
