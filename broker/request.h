#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "adapters/text_model.h"
#include "index/result.h"
#include "index/segment.h"
#include "index/token.h"
#include "spolia/receipt.h"

namespace spolia {

std::string_view to_string(Fidelity fidelity);
std::optional<Fidelity> fidelity_from(std::string_view text);

// `adaptive` on models that `spolia calibrate` has found a check layer of, `cacheblend` on others.
inline constexpr std::string_view kAutoPolicy = "auto";

// `adaptive` over blocks that know their context, where there are such: see anchors/.
inline constexpr std::string_view kAnchorsPolicy = "anchors";

// kAutoPolicy, kAnchorsPolicy, and the selectors' names.
std::vector<std::string_view> policy_names();
bool is_policy(std::string_view name);
std::string list_of_policies();  // the same, for messages: "auto, none, ..."

// How much reuse a request accepts. Fields left out take the server's defaults.
struct ReuseOptions {
    std::optional<Fidelity> fidelity;
    std::optional<std::string> policy;      // one of policy_names()
    std::optional<double> recompute_ratio;  // (0, 1]
    std::optional<int32_t> head_rows;       // policy "epic"
    std::optional<double> max_kl;           // fidelity "guarded"; see GuardBudget
    std::optional<double> min_agreement;    // the same; [0, 1]
    std::string agent;                      // whose defaults apply; must be in the configuration
};

// Of a prompt whose rows are wanted elsewhere, and no answer: see GenerateSink::on_rows().
struct Handover {
    // What the prompt would take there if it were computed there, ms; as long as here where it is
    // not known. Where composing it here is no faster nothing is computed, and the generation ends
    // with kDeclined.
    std::optional<double> elsewhere_ms;
    bool always = false;  // computed here whatever it takes
};

// A prompt to continue, ready for the engine: text is already rendered and tokenized.
struct GenerateRequest {
    std::string id;      // "chatcmpl-..." or "cmpl-..."
    std::string tenant;  // salt of every key; empty for the only tenant
    TokenizedText prompt;
    std::vector<TextSpan> spans;
    ReuseOptions reuse;
    SamplingParams sampling;
    GrammarSpec grammar;
    std::vector<std::string> stops;
    int32_t tokens_max = -1;  // < 0: up to the context's end
    std::optional<Handover> handover;
};

std::string_view to_string(FinishReason reason);

struct GenerateOutcome {
    FinishReason finish = FinishReason::kStop;
    std::string stop_word;  // the stop string that ended it; empty otherwise
    int32_t n_generated = 0;
    double decode_ms = 0;
    Receipt receipt;
};

// The rows of a prompt that is in place somewhere. Borrowed for a call.
class RowSource {
public:
    virtual ~RowSource() = default;
    virtual int32_t n_rows() const = 0;
    // Rows of a layer from row `begin` on, K at their positions; as many as there is room for.
    virtual Status copy(int32_t layer, int32_t begin, std::span<uint16_t> k,
                        std::span<uint16_t> v) const = 0;
};

// Takes the events of one generation, all on the engine thread and in this order: on_start, any
// number of on_text, then exactly one of on_done and on_error (which may also come first). Must
// return quickly: it hands over to another thread and never waits.
class GenerateSink {
public:
    virtual ~GenerateSink() = default;
    // Where a handover is asked for, before on_start. What fails in it is the sink's to remember.
    virtual void on_rows(const RowSource&) {}
    // The prompt is in place; the first token follows.
    virtual void on_start(const Receipt& receipt) = 0;
    // Valid UTF-8, without stop words; `token` is the last one in it.
    virtual void on_text(std::string text, Token token) = 0;
    virtual void on_done(const GenerateOutcome& outcome) = 0;
    virtual void on_error(const Error& error) = 0;
};

}  // namespace spolia
