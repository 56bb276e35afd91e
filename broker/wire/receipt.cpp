#include "broker/wire/receipt.h"

#include <cmath>
#include <utility>

namespace spolia {
namespace {

// JSON has no infinities, and microseconds are as far as the clocks go.
double rounded(double value) { return std::isfinite(value) ? std::round(value * 1000) / 1000 : 0; }

// Six digits behind the point: KLs go down to 1e-6 and stop there.
Json shortened(double kl) {
    return std::isfinite(kl) ? Json(std::round(kl * 1e6) / 1e6) : Json(nullptr);
}

double ratio(double value, double divisor) { return divisor > 0 ? rounded(value / divisor) : 0; }

// What the guard decided, and what a shadow found; null where it was not asked.
Json guard_json(const Receipt& receipt) {
    if (receipt.rung.empty() && receipt.fallback.empty()) return nullptr;
    Json guard = Json::object();
    if (!receipt.fallback.empty()) guard["fallback"] = receipt.fallback;
    if (!receipt.rung.empty()) guard["rung"] = receipt.rung;
    if (receipt.predicted_kl) guard["predicted_kl"] = shortened(*receipt.predicted_kl);
    if (receipt.measured_kl) guard["measured_kl"] = shortened(*receipt.measured_kl);
    if (receipt.measured_same_first) guard["same_first_token"] = *receipt.measured_same_first;
    return guard;
}

}  // namespace

Json receipt_json(const Receipt& receipt) {
    Json misses = Json::array();
    for (const Miss& miss : receipt.misses) {
        misses.push_back({{"reason", miss.reason}, {"tokens", miss.n_tokens}});
    }
    Json json = {
        {"policy", receipt.policy},
        {"fidelity", receipt.fidelity},
        {"tokens",
         {{"prompt", receipt.n_prompt},
          {"exact", receipt.n_exact},
          {"shifted", receipt.n_shifted},
          {"blended", receipt.n_blended},
          {"anchored", receipt.n_anchored},
          {"donor", receipt.n_donor},
          {"computed", receipt.n_computed}}},
        {"chunks", {{"total", receipt.n_chunks}, {"hit", receipt.n_chunks_hit}}},
        {"misses", std::move(misses)},
        {"timings",
         {{"queue_ms", rounded(receipt.queue_ms)},
          {"place_ms", rounded(receipt.place_ms)},
          {"check_ms", rounded(receipt.check_ms)},
          {"compute_ms", rounded(receipt.compute_ms)},
          {"prompt_ms", rounded(receipt.prompt_ms)},
          {"ttft_ms", rounded(receipt.ttft_ms)}}},
    };
    if (Json guard = guard_json(receipt); !guard.is_null()) json["guard"] = std::move(guard);
    return json;
}

std::string receipt_response(std::string_view id, const Receipt& receipt) {
    return dump({{"object", "receipt"}, {"id", id}, {"spolia", receipt_json(receipt)}});
}

Json usage_json(const GenerateOutcome& outcome) {
    const Receipt& receipt = outcome.receipt;
    return {
        {"prompt_tokens", receipt.n_prompt},
        {"completion_tokens", outcome.n_generated},
        {"total_tokens", int64_t{receipt.n_prompt} + outcome.n_generated},
        {"prompt_tokens_details", {{"cached_tokens", receipt.n_exact}}},
    };
}

Json timings_json(const GenerateOutcome& outcome) {
    const Receipt& receipt = outcome.receipt;
    const int32_t prompt_n = receipt.n_prompt - receipt.n_exact;
    return {
        {"cache_n", receipt.n_exact},
        {"prompt_n", prompt_n},
        {"prompt_ms", rounded(receipt.prompt_ms)},
        {"prompt_per_token_ms", ratio(receipt.prompt_ms, prompt_n)},
        {"prompt_per_second", ratio(1e3 * prompt_n, receipt.prompt_ms)},
        {"predicted_n", outcome.n_generated},
        {"predicted_ms", rounded(outcome.decode_ms)},
        {"predicted_per_token_ms", ratio(outcome.decode_ms, outcome.n_generated)},
        {"predicted_per_second", ratio(1e3 * outcome.n_generated, outcome.decode_ms)},
    };
}

}  // namespace spolia
