#include "broker/metrics_text.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace spolia {

void MetricsText::counter(std::string name, std::string help) {
    families_.push_back({std::move(name), std::move(help), true, {}});
}

void MetricsText::gauge(std::string name, std::string help) {
    families_.push_back({std::move(name), std::move(help), false, {}});
}

void MetricsText::add(Labels labels, double value) {
    families_.back().values.emplace_back(std::move(labels), value);
}

std::string MetricsText::text() const {
    std::vector<prometheus::MetricFamily> written;
    for (const Family& family : families_) {
        prometheus::MetricFamily& into = written.emplace_back();
        into.name = family.name;
        into.help = family.help;
        into.type = family.counts ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
        for (const auto& [labels, value] : family.values) {
            prometheus::ClientMetric& metric = into.metric.emplace_back();
            for (const auto& [name, text] : labels) metric.label.push_back({name, text});
            (family.counts ? metric.counter.value : metric.gauge.value) = value;
        }
    }
    return prometheus::TextSerializer().Serialize(written);
}

}  // namespace spolia
