#include "broker/quality/picture.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>
#include <vector>

#include "broker/quality/svg.h"

namespace spolia {
namespace {

constexpr double kHeight = 470;
constexpr double kPanelWidth = 330;
constexpr double kPanelHeight = 300;
constexpr double kPanelTop = 100;
constexpr double kLeftPanel = 70;
constexpr double kRightPanel = 480;
constexpr double kLegendLeft = 836;
constexpr double kLegendRow = 20;
constexpr double kLegendTextLeft = kLegendLeft + 36;
constexpr double kLegendTextMin = 150;
constexpr double kCharacterWidth = 6.8;  // of the legend's text, on the safe side
constexpr double kPointRadius = 4.5;
// Lower KL is drawn here: it is rounding, or dense itself.
constexpr double kKlFloor = 1e-5;

constexpr const char* kInk = "#1f2328";
constexpr const char* kFaint = "#6b7280";
constexpr const char* kGrid = "#e5e7eb";
constexpr const char* kPureReuse = "#9ca3af";
// Okabe and Ito's colours, which the colour-blind can tell apart, without black and yellow.
constexpr std::array<const char*, 6> kColours = {"#0072b2", "#d55e00", "#009e73",
                                                 "#cc79a7", "#56b4e9", "#e69f00"};

struct Point {
    double share = 0;  // of chunk rows, recomputed
    double value = 0;
    std::string label;
};

struct Series {
    std::string name;
    size_t style = 0;  // index of its colour and marker
    std::vector<const WayFigures*> ways;
};

std::string formatted(const char* format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

// One panel: where values stand, its frame, and what is drawn into it.
class Panel {
public:
    Panel(SvgWriter& svg, double left) : svg_(svg), left_(left) {}
    virtual ~Panel() = default;

    void draw_frame(const std::string& title) const {
        svg_.text(title, {{"x", svg_number(left_)},
                          {"y", svg_number(kPanelTop - 14)},
                          {"font-size", "14"},
                          {"font-weight", "bold"},
                          {"fill", kInk}});
        for (const double share : {0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0}) draw_share_tick(share);
        for (const auto& [value, label] : ticks()) draw_value_tick(value, label);
        svg_.text("share of chunk rows recomputed (square-root scale)",
                  {{"x", svg_number(left_ + kPanelWidth / 2)},
                   {"y", svg_number(kPanelTop + kPanelHeight + 44)},
                   {"font-size", "12"},
                   {"text-anchor", "middle"},
                   {"fill", kInk}});
    }

    void draw_bound(double value, const char* colour, const std::string& dashes) const {
        svg_.element("line", {{"x1", svg_number(left_)},
                              {"x2", svg_number(left_ + kPanelWidth)},
                              {"y1", svg_number(y_of(value))},
                              {"y2", svg_number(y_of(value))},
                              {"stroke", colour},
                              {"stroke-width", "1.5"},
                              {"stroke-dasharray", dashes}});
    }

    void draw_line(const std::vector<Point>& points, size_t style) const;

    virtual double value_of(const Figures& figures) const = 0;
    virtual std::string describe(double value) const = 0;

protected:
    // 0 at the bottom, 1 at the top.
    virtual double height_of(double value) const = 0;
    virtual std::vector<std::pair<double, std::string>> ticks() const = 0;

private:
    // Few rows are where the policies differ: the root gives them room and still shows all rows.
    double x_of(double share) const { return left_ + kPanelWidth * std::sqrt(share); }
    double y_of(double value) const {
        return kPanelTop + kPanelHeight * (1 - std::clamp(height_of(value), 0.0, 1.0));
    }

    void draw_share_tick(double share) const {
        const std::string x = svg_number(x_of(share));
        svg_.element("line", {{"x1", x},
                              {"x2", x},
                              {"y1", svg_number(kPanelTop)},
                              {"y2", svg_number(kPanelTop + kPanelHeight)},
                              {"stroke", kGrid}});
        svg_.text(formatted("%.0f %%", 100 * share),
                  {{"x", x},
                   {"y", svg_number(kPanelTop + kPanelHeight + 20)},
                   {"font-size", "11"},
                   {"text-anchor", "middle"},
                   {"fill", kFaint}});
    }

    void draw_value_tick(double value, const std::string& label) const {
        const std::string y = svg_number(y_of(value));
        svg_.element("line", {{"x1", svg_number(left_)},
                              {"x2", svg_number(left_ + kPanelWidth)},
                              {"y1", y},
                              {"y2", y},
                              {"stroke", kGrid}});
        svg_.text(label, {{"x", svg_number(left_ - 8)},
                          {"y", svg_number(y_of(value) + 4)},
                          {"font-size", "11"},
                          {"text-anchor", "end"},
                          {"fill", kFaint}});
    }

    SvgWriter& svg_;
    double left_;
};

// A marker around (x, y): circle, square, diamond or triangle.
void draw_marker(SvgWriter& svg, double x, double y, size_t style, const std::string& title) {
    const char* colour = kColours[style % kColours.size()];
    const double r = kPointRadius;
    const auto polygon = [&](std::initializer_list<std::pair<double, double>> corners) {
        std::string points;
        for (const auto& [dx, dy] : corners) {
            points += svg_number(x + dx * r) + "," + svg_number(y + dy * r) + " ";
        }
        points.pop_back();
        svg.open("polygon", {{"points", points}, {"fill", colour}, {"stroke", "white"}});
        if (!title.empty()) svg.title(title);
        svg.close("polygon");
    };
    switch (style % 4) {
        case 0:
            svg.open("circle", {{"cx", svg_number(x)},
                                {"cy", svg_number(y)},
                                {"r", svg_number(r)},
                                {"fill", colour},
                                {"stroke", "white"}});
            if (!title.empty()) svg.title(title);
            return svg.close("circle");
        case 1: return polygon({{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}});
        case 2: return polygon({{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}});
        default: return polygon({{0, -1.2}, {1.2, 0.9}, {-1.2, 0.9}});
    }
}

void Panel::draw_line(const std::vector<Point>& points, size_t style) const {
    std::string places;
    for (const Point& point : points) {
        places += svg_number(x_of(point.share)) + "," + svg_number(y_of(point.value)) + " ";
    }
    places.pop_back();
    if (points.size() > 1) {
        svg_.element("polyline", {{"points", places},
                                  {"fill", "none"},
                                  {"stroke", kColours[style % kColours.size()]},
                                  {"stroke-width", "2"},
                                  {"stroke-linejoin", "round"}});
    }
    for (const Point& point : points) {
        draw_marker(svg_, x_of(point.share), y_of(point.value), style, point.label);
    }
}

class AccuracyPanel final : public Panel {
public:
    // Begins at a tenth below the least accuracy, so that differences can be seen.
    AccuracyPanel(SvgWriter& svg, double left, double least)
        : Panel(svg, left), bottom_(std::clamp(std::floor(least * 10 - 0.5) / 10, 0.0, 0.9)) {}

    double value_of(const Figures& figures) const override { return figures.accuracy(); }
    std::string describe(double value) const override {
        return formatted("accuracy %.1f %%", 100 * value);
    }

private:
    double height_of(double value) const override { return (value - bottom_) / (1 - bottom_); }
    std::vector<std::pair<double, std::string>> ticks() const override {
        const double span = 1 - bottom_;
        const double step = span > 0.55 ? 0.2 : span > 0.25 ? 0.1 : span > 0.15 ? 0.05 : 0.02;
        std::vector<std::pair<double, std::string>> ticks;
        for (int i = 0; 1 - i * step > bottom_ - 1e-9; ++i) {
            const double value = 1 - i * step;
            ticks.emplace_back(value, formatted("%.0f %%", 100 * value));
        }
        return ticks;
    }

    double bottom_;
};

class KlPanel final : public Panel {
public:
    KlPanel(SvgWriter& svg, double left, double greatest)
        : Panel(svg, left),
          top_(std::ceil(std::log10(std::clamp(greatest, 10 * kKlFloor, 1e3)) - 1e-9)) {}

    double value_of(const Figures& figures) const override { return figures.kl_mean(); }
    std::string describe(double value) const override { return formatted("KL %.2g", value); }

private:
    double height_of(double value) const override {
        const double bottom = std::log10(kKlFloor);
        return (std::log10(std::max(value, kKlFloor)) - bottom) / (top_ - bottom);
    }
    std::vector<std::pair<double, std::string>> ticks() const override {
        std::vector<std::pair<double, std::string>> ticks;
        for (int power = -5; power <= static_cast<int>(top_); ++power) {
            const double value = std::pow(10, power);
            ticks.emplace_back(value, power == -5 ? "≤ 0.00001" : formatted("%g", value));
        }
        ticks[1].second = "0.0001";
        return ticks;
    }

    double top_;
};

const WayFigures* find_way(std::span<const WayFigures> ways, std::string_view label) {
    const auto found =
        std::ranges::find_if(ways, [&](const WayFigures& way) { return way.label == label; });
    return found == ways.end() ? nullptr : &*found;
}

// All ways but the two bounds, by series, each from few recomputed rows to many.
std::vector<Series> series_of(std::span<const WayFigures> ways) {
    std::vector<Series> all;
    for (const WayFigures& way : ways) {
        if (way.dense() || way.label == "none") continue;
        auto found = std::ranges::find(all, way.series, &Series::name);
        if (found == all.end()) {
            found = all.insert(all.end(), Series{way.series, all.size(), {}});
        }
        found->ways.push_back(&way);
    }
    for (Series& series : all) {
        std::ranges::stable_sort(series.ways, {},
                                 [](const WayFigures* way) { return way->all.recomputed_share(); });
    }
    return all;
}

void draw_panel(Panel& panel, const std::string& title, std::span<const WayFigures> ways) {
    panel.draw_frame(title);
    if (const WayFigures* none = find_way(ways, "none")) {
        panel.draw_bound(panel.value_of(none->all), kPureReuse, "6 4");
    }
    if (const WayFigures* dense = find_way(ways, "dense")) {
        panel.draw_bound(panel.value_of(dense->all), kInk, "2 3");
    }
    for (const Series& series : series_of(ways)) {
        std::vector<Point> points;
        for (const WayFigures* way : series.ways) {
            const double share = way->all.recomputed_share();
            const double value = panel.value_of(way->all);
            points.push_back({share, value,
                              way->label + ": " + panel.describe(value) + ", " +
                                  formatted("%.1f %% of rows", 100 * share)});
        }
        panel.draw_line(points, series.style);
    }
}

class Legend {
public:
    explicit Legend(SvgWriter& svg) : svg_(svg) {}

    void add_bound(const std::string& name, const char* colour, const std::string& dashes) {
        draw_stroke(colour, dashes);
        add_name(name);
    }
    void add_series(const Series& series) {
        if (series.ways.size() > 1) draw_stroke(kColours[series.style % kColours.size()], "none");
        draw_marker(svg_, kLegendLeft + 14, y_, series.style, "");
        add_name(series.name);
    }

private:
    void draw_stroke(const char* colour, const std::string& dashes) {
        svg_.element("line", {{"x1", svg_number(kLegendLeft)},
                              {"x2", svg_number(kLegendLeft + 28)},
                              {"y1", svg_number(y_)},
                              {"y2", svg_number(y_)},
                              {"stroke", colour},
                              {"stroke-width", "2"},
                              {"stroke-dasharray", dashes}});
    }
    void add_name(const std::string& name) {
        svg_.text(name, {{"x", svg_number(kLegendTextLeft)},
                         {"y", svg_number(y_ + 4)},
                         {"font-size", "12"},
                         {"fill", kInk}});
        y_ += kLegendRow;
    }

    SvgWriter& svg_;
    double y_ = kPanelTop + 4;
};

void draw_legend(SvgWriter& svg, std::span<const WayFigures> ways) {
    Legend legend(svg);
    legend.add_bound("dense", kInk, "2 3");
    if (find_way(ways, "none") != nullptr) {
        legend.add_bound("none (pure reuse)", kPureReuse, "6 4");
    }
    for (const Series& series : series_of(ways)) legend.add_series(series);
}

void draw_heading(SvgWriter& svg, const std::string& subtitle) {
    svg.text("What reuse does to answers", {{"x", svg_number(kLeftPanel)},
                                            {"y", "34"},
                                            {"font-size", "18"},
                                            {"font-weight", "bold"},
                                            {"fill", kInk}});
    svg.text(subtitle,
             {{"x", svg_number(kLeftPanel)}, {"y", "56"}, {"font-size", "12"}, {"fill", kFaint}});
}

}  // namespace

std::string draw_quality(std::span<const WayFigures> ways, const std::string& subtitle) {
    double legend_width = kLegendTextMin;
    double legend_bottom = kPanelTop + 2 * kLegendRow;  // dense and pure reuse
    for (const Series& series : series_of(ways)) {
        legend_width =
            std::max(legend_width, kCharacterWidth * static_cast<double>(series.name.size()));
        legend_bottom += kLegendRow;
    }
    const double width = kLegendTextLeft + legend_width + kLegendRow;
    const double height = std::max(kHeight, legend_bottom + kLegendRow);
    double least_accuracy = 1, greatest_kl = 0;
    for (const WayFigures& way : ways) {
        least_accuracy = std::min(least_accuracy, way.all.accuracy());
        greatest_kl = std::max(greatest_kl, way.all.kl_mean());
    }
    SvgWriter svg(width, height);
    svg.element(
        "rect",
        {{"width", svg_number(width)}, {"height", svg_number(height)}, {"fill", "#ffffff"}});
    draw_heading(svg, subtitle);
    AccuracyPanel accuracy(svg, kLeftPanel, least_accuracy);
    draw_panel(accuracy, "Accuracy", ways);
    KlPanel kl(svg, kRightPanel, greatest_kl);
    draw_panel(kl, "First-token KL to dense, mean, in nats", ways);
    draw_legend(svg, ways);
    return svg.finish();
}

}  // namespace spolia
