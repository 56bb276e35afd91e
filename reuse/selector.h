#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/outline.h"
#include "index/result.h"
#include "index/token.h"

namespace spolia {

// The rows that one placed block covers in the prompt.
struct PassiveSpan {
    TokenSpan rows;
    // The block stands directly behind the very prefix it was made behind: nothing to mend.
    bool settled = false;
};

// What a selector may look at before anything is computed.
struct Selection {
    std::span<const PassiveSpan> spans;      // ascending, disjoint
    const PromptOutline* outline = nullptr;  // null: the prompt's text is not known
};

// What a selector decides before anything is computed.
struct RowChoice {
    std::vector<int32_t> rows;  // passive rows to recompute from layer 0 on, ascending
    // How much of what reuse may have broken stays as it is: grows with the divergence to expect,
    // in a unit of the selector's own. 0 where it knows of nothing. A selector that can't tell
    // says 1.
    double risk = 1;
};

// Which part of a row's deviation counts: LMCache compares K, CacheBlend's authors' code V.
enum class Deviation : uint8_t { kBoth, kKeys, kValues };

// At `layer`, keep this share of all passive rows active.
struct CheckStage {
    int32_t layer = 1;
    double ratio = 0.15;
};

struct SelectorParams {
    std::string policy = "cacheblend";             // none | full | epic | cacheblend
    std::vector<CheckStage> stages = {{1, 0.15}};  // cacheblend; ratios descend, layers ascend
    int32_t head_rows = 16;                        // epic: rows at the head of every chunk
    Deviation deviation = Deviation::kBoth;
};

// The rule that picks which passive rows become active. Glue and query rows are always active and
// not its business. Stateless: one object may serve many requests.
class Selector {
public:
    virtual ~Selector() = default;
    virtual std::string_view name() const = 0;

    // Without stages: pick() below decides before anything is computed. With stages: all rows are
    // computed below the first stage's layer; at each stage choose() thins out the active ones.
    virtual std::span<const CheckStage> stages() const = 0;
    virtual Deviation deviation() const { return Deviation::kBoth; }

    // Selectors with stages pick no rows here.
    virtual RowChoice pick(const Selection& selection) const = 0;

    // The rows that stay active behind stage `stage`, ascending: a subset of `candidates`
    // (ascending passive rows still active), whose relative squared deviations are `deviation`.
    // n_passive is the number of passive rows in the whole prompt, which ratios refer to.
    virtual std::vector<int32_t> choose(int32_t stage, std::span<const int32_t> candidates,
                                        std::span<const float> deviation,
                                        int32_t n_passive) const = 0;
};

// Fails with kInvalidArgument on an unknown policy or parameters out of range.
Result<std::unique_ptr<Selector>> make_selector(const SelectorParams& params, int32_t n_layer);

// Names that make_selector() knows.
std::span<const std::string_view> selector_names();
std::string list_of_selectors();  // the same, for messages: "none, full, ..."

}  // namespace spolia
