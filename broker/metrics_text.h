#pragma once

#include <string>
#include <utility>
#include <vector>

namespace spolia {

// Builds Prometheus's text from values that are counted elsewhere.
class MetricsText {
public:
    using Labels = std::vector<std::pair<std::string, std::string>>;

    // Each begins a family, whose values follow.
    void counter(std::string name, std::string help);
    void gauge(std::string name, std::string help);
    void add(Labels labels, double value);

    std::string text() const;

private:
    struct Family {
        std::string name, help;
        bool counts = false;
        std::vector<std::pair<Labels, double>> values;
    };
    std::vector<Family> families_;
};

}  // namespace spolia
