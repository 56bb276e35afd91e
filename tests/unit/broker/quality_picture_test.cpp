#include "broker/quality/picture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <limits>
#include <regex>
#include <string>
#include <vector>

#include "broker/quality/svg.h"

namespace spolia {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

WayFigures way_of(const std::string& policy, double accuracy, double kl, int32_t n_recomputed) {
    WayFigures way = policy == "dense" ? dense_way() : composed_way(parse_policy(policy).value());
    for (int i = 0; i < 100; ++i) {
        way.all.add({.right = i < 100 * accuracy,
                     .kl = kl,
                     .n_reused = 100 - n_recomputed,
                     .n_recomputed = n_recomputed});
    }
    return way;
}

std::vector<WayFigures> sweep() {
    return {way_of("dense", 0.98, 0, 0),
            way_of("none", 0.31, 4.2, 0),
            way_of("epic:head_rows=4", 0.5, 0.7, 8),
            way_of("epic:head_rows=1", 0.4, 2.7, 2),
            way_of("cacheblend:layer=1,ratio=0.15", 0.45, 1.3, 15),
            way_of("cacheblend:layer=3,ratio=0.05", 0.8, 0.02, 5),
            way_of("cacheblend:layer=3,ratio=0.3", 0.97, 1e-9, 30),
            way_of("full", 0.98, 0, 100)};
}

// Every tag that opens is closed in the right order.
void expect_well_formed(const std::string& svg) {
    std::vector<std::string> open;
    const std::regex tag(R"(<(/?)([a-z]+)((?: [a-zA-Z0-9:-]+="[^"<]*")*)(/?)>)");
    size_t end = 0;
    for (auto it = std::sregex_iterator(svg.begin(), svg.end(), tag); it != std::sregex_iterator();
         ++it) {
        const std::string between = svg.substr(end, it->position() - end);
        EXPECT_EQ(between.find_first_of("<>"), std::string::npos) << between;
        end = static_cast<size_t>(it->position() + it->length());
        const std::string name = (*it)[2];
        if ((*it)[1] == "/") {
            ASSERT_FALSE(open.empty()) << name;
            EXPECT_EQ(open.back(), name);
            open.pop_back();
        } else if ((*it)[4] != "/") {
            open.push_back(name);
        }
    }
    EXPECT_TRUE(open.empty());
    EXPECT_EQ(svg.substr(end), "\n");
    EXPECT_TRUE(svg.starts_with("<svg "));
}

std::vector<double> numbers_in(const std::string& text) {
    std::vector<double> numbers;
    const std::regex number(R"(-?[0-9.]+|nan|inf)");
    for (auto it = std::sregex_iterator(text.begin(), text.end(), number);
         it != std::sregex_iterator(); ++it) {
        numbers.push_back(std::strtod(it->str().c_str(), nullptr));
    }
    return numbers;
}

// All values of an attribute.
std::vector<std::string> values_of(const std::string& svg, const std::string& attribute) {
    std::vector<std::string> values;
    const std::regex pattern(" " + attribute + "=\"([^\"]*)\"");
    for (auto it = std::sregex_iterator(svg.begin(), svg.end(), pattern);
         it != std::sregex_iterator(); ++it) {
        values.push_back((*it)[1]);
    }
    return values;
}

void expect_inside_viewport(const std::string& svg) {
    const std::vector<double> box = numbers_in(values_of(svg, "viewBox").at(0));
    ASSERT_EQ(box.size(), 4u);
    const auto expect_within = [](double value, double limit) {
        EXPECT_GE(value, 0);
        EXPECT_LE(value, limit);
    };
    for (const char* name : {"x", "x1", "x2", "cx"}) {
        for (const auto& value : values_of(svg, name)) expect_within(std::stod(value), box[2]);
    }
    for (const char* name : {"y", "y1", "y2", "cy"}) {
        for (const auto& value : values_of(svg, name)) expect_within(std::stod(value), box[3]);
    }
    for (const std::string& points : values_of(svg, "points")) {
        const std::vector<double> places = numbers_in(points);
        ASSERT_EQ(places.size() % 2, 0u) << points;
        for (size_t i = 0; i < places.size(); i += 2) {
            expect_within(places[i], box[2]);
            expect_within(places[i + 1], box[3]);
        }
    }
}

TEST(QualityPicture, IsWellFormedAndInsideItsViewport) {
    const std::string svg = draw_quality(sweep(), "a model, 100 prompts");
    expect_well_formed(svg);
    expect_inside_viewport(svg);
}

TEST(QualityPicture, NamesAllSeriesAndBounds) {
    const std::string svg = draw_quality(sweep(), "a <model> & \"tasks\"");
    expect_well_formed(svg);
    for (const char* name : {">dense<", ">none (pure reuse)<", ">epic<", ">cacheblend:layer=1<",
                             ">cacheblend:layer=3<", ">full<", "a &lt;model&gt; &amp;"}) {
        EXPECT_THAT(svg, HasSubstr(name));
    }
    EXPECT_THAT(svg, HasSubstr("epic:head_rows=4: accuracy 50.0 %, 8.0 % of rows"));
}

TEST(QualityPicture, LinesGoFromFewRowsToMany) {
    const std::string svg = draw_quality(sweep(), "");
    const std::regex polyline(R"(<polyline points="([^"]*)\")");
    int n_lines = 0;
    for (auto it = std::sregex_iterator(svg.begin(), svg.end(), polyline);
         it != std::sregex_iterator(); ++it, ++n_lines) {
        const std::vector<double> places = numbers_in((*it)[1]);
        ASSERT_EQ(places.size(), 4u);
        EXPECT_LT(places[0], places[2]);
    }
    EXPECT_EQ(n_lines, 4);  // epic and cacheblend:layer=3 in both panels; others have one point
}

TEST(QualityPicture, StandsExtremeFigures) {
    const double infinity = std::numeric_limits<double>::infinity();
    std::vector<WayFigures> ways = {way_of("dense", 0, 0, 0), way_of("full", 1, infinity, 0)};
    for (int rows = 1; rows <= 40; ++rows) {
        ways.push_back(
            way_of("cacheblend:layer=" + std::to_string(rows) + ",ratio=0.1", 0, 1e6, rows));
    }
    const std::string svg = draw_quality(ways, "");
    expect_well_formed(svg);
    expect_inside_viewport(svg);
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("pure reuse")));
    expect_inside_viewport(draw_quality({}, ""));
}

TEST(SvgNumber, IsShort) {
    EXPECT_EQ(svg_number(12.5), "12.5");
    EXPECT_EQ(svg_number(100), "100");
    EXPECT_EQ(svg_number(0.001), "0");
    EXPECT_EQ(svg_number(3.14159), "3.14");
}

}  // namespace
}  // namespace spolia
