#include "broker/quality/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "broker/guard/guard.h"
#include "broker/quality/measures.h"

namespace spolia {
namespace {

double rounded(double value) { return std::round(value * 1e6) / 1e6; }

std::string with_digits(const char* format, double value) {
    char text[32];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

std::string percent(double share) { return with_digits("%.1f %%", 100 * share); }

// Three digits that mean something; what is below a millionth is rounding of the engine's.
std::string kl_text(double kl) {
    if (kl < 1e-6) return "0";
    return with_digits(kl < 1e-3 ? "%.1e" : kl < 1 ? "%.4f" : "%.2f", kl);
}

Json kl_json(const Figures& figures) {
    return {{"mean", figures.kl_mean()},
            {"p99", figures.kl_percentile(0.99)},
            {"max", figures.kl_percentile(1)}};
}

Json accuracy_json(const WayFigures& way) {
    Json json = {{"all", rounded(way.all.accuracy())}};
    if (way.cross.n() > 0) json["cross"] = rounded(way.cross.accuracy());
    for (const auto& [kind, figures] : way.kinds) json[kind] = rounded(figures.accuracy());
    return json;
}

Json refusals_json(const Figures& figures) {
    Json json = Json::object();
    for (const auto& [refusal, n] : figures.refusals()) json[refusal] = n;
    return json;
}

Json kinds_json(const WayFigures& way) {
    Json json = Json::object();
    for (const auto& [kind, figures] : way.kinds) {
        json[kind] = {{"prompts", figures.n()},
                      {"accuracy", rounded(figures.accuracy())},
                      {"kl", kl_json(figures)},
                      {"top1", rounded(figures.top1())},
                      {"recomputed_share", rounded(figures.recomputed_share())},
                      {"reused_share", rounded(figures.reused_share())},
                      {"composed", figures.n_composed()},
                      {"refusals", refusals_json(figures)},
                      {"time_vs_dense", rounded(figures.time_share())}};
    }
    return json;
}

Json row(const WayFigures& way) {
    const Figures& all = way.all;
    Json params = Json::object();
    for (const auto& [key, value] : way.values) params[key] = value;
    const std::vector<double>& ms = all.prefill_ms();
    return {{"policy", way.policy},
            {"guarded", way.guarded},
            {"params", params},
            {"prompts", all.n()},
            {"accuracy", accuracy_json(way)},
            {"kl", kl_json(all)},
            {"top1", rounded(all.top1())},
            {"agreement",
             {{"tokens", rounded(all.same_tokens())}, {"answers", rounded(all.same_answers())}}},
            {"tokens",
             {{"exact", rounded(all.rows_exact())},
              {"reused", rounded(all.rows_reused())},
              {"recomputed", rounded(all.rows_recomputed())},
              {"computed", rounded(all.rows_computed())}}},
            {"recomputed_share", rounded(all.recomputed_share())},
            {"reused_share", rounded(all.reused_share())},
            {"composed", all.n_composed()},
            {"refusals", refusals_json(all)},
            {"mend_work_share", rounded(all.mend_work_share())},
            {"prefill_ms",
             {{"min", rounded(percentile(ms, 1e-9))},
              {"median", rounded(percentile(ms, 0.5))},
              {"max", rounded(percentile(ms, 1))}}},
            {"time_vs_dense", rounded(all.time_share())},
            {"tasks", kinds_json(way)}};
}

}  // namespace

Json quality_rows(std::span<const WayFigures> ways) {
    Json rows = Json::array();
    for (const WayFigures& way : ways) rows.push_back(row(way));
    return rows;
}

TableRows quality_table(std::span<const WayFigures> ways) {
    TableRows rows = {{"policy", "accuracy", "cross-chunk", "KL mean", "KL p99", "KL max", "top-1",
                       "same tokens", "same answers", "recomputed", "of chunk rows",
                       "of their work", "time"}};
    for (const WayFigures& way : ways) {
        const Figures& all = way.all;
        rows.push_back(
            {way.label, percent(all.accuracy()),
             way.cross.n() > 0 ? percent(way.cross.accuracy()) : "-", kl_text(all.kl_mean()),
             kl_text(all.kl_percentile(0.99)), kl_text(all.kl_percentile(1)), percent(all.top1()),
             percent(all.same_tokens()), percent(all.same_answers()),
             way.dense() ? "-" : with_digits("%.1f", all.rows_recomputed()),
             way.dense() ? "-" : percent(all.recomputed_share()),
             way.dense() ? "-" : percent(all.mend_work_share()), percent(all.time_share())});
    }
    return rows;
}

TableRows accuracy_table(std::span<const WayFigures> ways) {
    TableRows rows(1, {"policy"});
    if (ways.empty()) return rows;
    for (const auto& [kind, figures] : ways.front().kinds) rows.front().push_back(kind);
    for (const WayFigures& way : ways) {
        rows.push_back({way.label});
        for (const auto& [kind, figures] : way.kinds) {
            rows.back().push_back(percent(figures.accuracy()));
        }
    }
    return rows;
}

TableRows refusal_table(std::span<const WayFigures> ways) {
    TableRows rows = {{"policy", "composed"}};
    constexpr std::string_view kRefusals[] = {kInDoubt, kOverBudget, kUncalibrated, kDemoted};
    for (const std::string_view refusal : kRefusals) rows.front().emplace_back(refusal);
    for (const WayFigures& way : ways) {
        if (!way.guarded || way.all.n() == 0) continue;
        const double n = way.all.n();
        rows.push_back({way.label, percent(way.all.n_composed() / n)});
        for (const std::string_view refusal : kRefusals) {
            const auto found = way.all.refusals().find(refusal);
            const int32_t n_refused = found == way.all.refusals().end() ? 0 : found->second;
            rows.back().push_back(percent(n_refused / n));
        }
    }
    return rows;
}

std::string markdown_table(const TableRows& rows) {
    std::string text;
    const auto add = [&](const std::vector<std::string>& cells) {
        text += '|';
        for (const std::string& cell : cells) text += ' ' + cell + " |";
        text += '\n';
    };
    for (size_t i = 0; i < rows.size(); ++i) {
        add(rows[i]);
        if (i > 0) continue;
        text += "|---|";
        for (size_t column = 1; column < rows.front().size(); ++column) text += "---:|";
        text += '\n';
    }
    return text;
}

}  // namespace spolia
