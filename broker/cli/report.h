#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "broker/guard/sample.h"
#include "reuse/engine.h"

namespace spolia {

// Repeated measurements of one thing.
struct Samples {
    std::vector<double> values;

    void add(double value) { values.push_back(value); }
    bool empty() const { return values.empty(); }
    // 0 without values.
    double median() const;
    // The smallest value that `share` of all values don't exceed; 0 without values.
    double quantile(double share) const;
    // {"min", "median", "max"}, rounded to microseconds.
    nlohmann::ordered_json json() const;
};

// The parts that every bench's object starts with: bench, version, machine, and the model if there
// is one.
nlohmann::ordered_json report_head(const std::string& bench, int32_t n_threads);
nlohmann::ordered_json report_head(const std::string& bench, const ModelInfo& model,
                                   int32_t n_threads);

// The model's name, and whether its weights are random.
std::string title_of(const ModelInfo& model);

// Columns as wide as their longest cell; numbers to the right, the first column to the left.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

// "12.3" or "1,234": few digits, as a person reads them.
std::string short_number(double value);
// "5.9x"
std::string short_ratio(double value);

// "everything", "nothing", or the limits.
std::string describe(const GuardRegion& region);

}  // namespace spolia
