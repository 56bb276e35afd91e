#include "broker/cli/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        const size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != line.npos) return line.substr(colon + 2);
    }
    return "unknown";
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

double Samples::median() const {
    if (values.empty()) return 0;
    std::vector<double> sorted = values;
    std::ranges::sort(sorted);
    const size_t middle = sorted.size() / 2;
    return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

double Samples::quantile(double share) const {
    if (values.empty()) return 0;
    std::vector<double> sorted = values;
    std::ranges::sort(sorted);
    const auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
    return sorted[std::clamp<size_t>(rank, 1, sorted.size()) - 1];
}

Json Samples::json() const {
    if (values.empty()) return nullptr;
    return {{"min", rounded(std::ranges::min(values))},
            {"median", rounded(median())},
            {"max", rounded(std::ranges::max(values))}};
}

Json report_head(const std::string& bench, int32_t n_threads) {
    return {{"bench", bench},
            {"version", SPOLIA_VERSION},
            {"machine", {{"cpu", cpu_name()}, {"threads", n_threads}}}};
}

Json report_head(const std::string& bench, const ModelInfo& model, int32_t n_threads) {
    Json head = report_head(bench, n_threads);
    head["model"] = {{"name", model.name},
                     {"random", model.random_weights},
                     {"arch", model.architecture},
                     {"params", model.n_params}};
    return head;
}

std::string title_of(const ModelInfo& model) {
    return model.name + (model.random_weights ? " (random weights)" : "");
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
    std::vector<size_t> widths;
    for (const auto& row : rows) {
        widths.resize(std::max(widths.size(), row.size()));
        for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
    }
    std::string text;
    for (const auto& row : rows) {
        for (size_t i = 0; i < row.size(); ++i) {
            const std::string padding(widths[i] - row[i].size(), ' ');
            if (i > 0) text += "  ";
            text += i == 0 ? row[i] + padding : padding + row[i];
        }
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    }
    return text;
}

std::string short_number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 100 ? "%.1f" : "%.0f", value);
    return text;
}

std::string short_ratio(double value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 10 ? "%.2fx" : "%.1fx", value);
    return text;
}

std::string describe(const GuardRegion& region) {
    if (region.empty()) return "nothing";
    if (region == GuardRegion::everything()) return "everything";
    const auto limit = [](const char* what, double most) {
        char text[48];
        std::snprintf(text, sizeof text, "%ss up to %.2g", what, most);
        return std::isinf(most) ? std::string("any ") + what : std::string(text);
    };
    return limit("risk", region.max_risk) + ", " + limit("doubt", region.max_doubt);
}

}  // namespace spolia
