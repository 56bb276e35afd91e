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

// What the rows of a block have in them of the prompt they are placed in, where it was made behind
// other text (an anchor's) or of other text (a donor's). Those of an isolated block have nothing.
struct KnownContext {
    // Parts of the prompt (Sentence::part) in front of the block that its rows attended to, in
    // this order, and the block's own part where it has `edited` rows. Ascending.
    std::vector<int32_t> parts;
    // Of these and the block's own part, those that followed the same part where the block was
    // made as they do here. Ascending.
    std::vector<int32_t> adjoining;
    // Words (PromptOutline::words) of text that its rows attended to and that is not in front of
    // them here. Ascending.
    std::vector<uint64_t> lost;
    // Rows of the block's own part whose tokens are not those that the block was made of. Where
    // only something is gone, the row behind it. Ascending, disjoint.
    std::vector<TokenSpan> edited = {};
};

// The rows that one placed block covers in the prompt.
struct PassiveSpan {
    TokenSpan rows;
    // The block stands directly behind the very prefix it was made behind: nothing to mend.
    bool settled = false;
    const KnownContext* known = nullptr;  // null: nothing; outlives the span
};

// What a selector may look at before anything is computed.
struct Selection {
    std::span<const PassiveSpan> spans;      // ascending, disjoint
    const PromptOutline* outline = nullptr;  // null: the prompt's text is not known
    // What the query pays to each row of the prompt, up to the last passive one at least; for
    // selectors that want_attention(), else empty.
    std::span<const float> attention = {};
};

// What a selector decides before anything is computed.
struct RowChoice {
    std::vector<int32_t> rows;  // passive rows to recompute from layer 0 on, ascending
    // How much of what reuse may have broken stays as it is: grows with the divergence to expect,
    // in a unit of the selector's own. 0 where it knows of nothing. A selector that can't tell
    // says 1.
    double risk = 1;
    // How much each of the rows matters, for choose(); empty: all alike.
    std::vector<float> weights = {};
};

// What is known of the passive rows that are still active at a check stage. All spans go with
// `candidates`.
struct StageView {
    std::span<const int32_t> candidates;  // ascending
    std::span<const float> deviation;     // squared, relative to the placed row
    std::span<const float> attention;     // see Selection; empty where not wanted
    int32_t n_passive = 0;                // in the whole prompt: what ratios refer to
    std::span<const float> weights = {};  // see RowChoice
};

// Which part of a row's deviation counts: LMCache compares K, CacheBlend's authors' code V.
enum class Deviation : uint8_t { kBoth, kKeys, kValues };

// At `layer`, keep this share of all passive rows active.
struct CheckStage {
    int32_t layer = 1;
    double ratio = 0.15;
};

// What a query's selector ranks rows by.
enum class QueryRank : uint8_t {
    kAttentionDeviation,  // attention x deviation: needs a check layer
    kAttention,
};

struct SelectorParams {
    std::string policy = "cacheblend";  // one of selector_names()
    // cacheblend: ratios descend, layers ascend. query: one; its layer counts where it needs one.
    std::vector<CheckStage> stages = {{1, 0.15}};
    int32_t head_rows = 16;  // epic: rows at the head of every chunk
    Deviation deviation = Deviation::kBoth;
    QueryRank rank = QueryRank::kAttentionDeviation;  // query
    double trace_ratio = 0.1;                         // trace: share of passive rows
    double weight_min = 0.3;  // adaptive: weight on the question's path, [0, 1]
    int32_t check_layer = 0;  // adaptive; 0: none
    // adaptive: rows whose deviation at the check layer times their weight is less are left.
    double deviation_min = 0.4;
};

// The rule that picks which passive rows become active. Glue and query rows are always active and
// not its business. Stateless: one object may serve many requests.
class Selector {
public:
    virtual ~Selector() = default;
    virtual std::string_view name() const = 0;

    // pick() below decides before anything is computed. Where there are stages, choose() thins out
    // its rows at each of them.
    virtual std::span<const CheckStage> stages() const = 0;
    virtual Deviation deviation() const { return Deviation::kBoth; }

    // Whether rows in no block are first computed over the blocks as they are, to see what the
    // query attends to: the rows behind the last block, their attention summed over heads and
    // layers. Given to pick() and choose().
    virtual bool wants_attention() const { return false; }
    // Else contiguous spans through the backend's own decode do.
    bool needs_fused_pass() const { return !stages().empty() || wants_attention(); }

    // The passive rows to recompute, or, with stages, those that come into question.
    virtual RowChoice pick(const Selection& selection) const = 0;

    // The rows that stay active behind stage `stage`, ascending: some of view.candidates.
    virtual std::vector<int32_t> choose(int32_t stage, const StageView& view) const = 0;
};

// Fails with kInvalidArgument on an unknown policy or parameters out of range.
Result<std::unique_ptr<Selector>> make_selector(const SelectorParams& params, int32_t n_layer);

// Names that make_selector() knows.
std::span<const std::string_view> selector_names();
std::string list_of_selectors();  // the same, for messages: "none, full, ..."

}  // namespace spolia
