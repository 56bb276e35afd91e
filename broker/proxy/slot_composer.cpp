#include "broker/proxy/slot_composer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "adapters/llama/sequence_cache.h"
#include "broker/log.h"
#include "broker/proxy/handover_sink.h"

namespace spolia {
namespace {

// Enough that every matrix of a layer shows in the rows.
constexpr std::string_view kProbeText = "The quick brown fox jumps over the lazy dog, 1234567890.";
// Of a row's norm. The same weights on other hardware stay below a hundredth, other weights are
// off by about all of it.
constexpr double kRowErrorMax = 0.05;

// Writes rows straight from the cache into a slot's file.
class SlotFileSink final : public HandoverSink {
public:
    SlotFileSink(std::shared_ptr<SlotFileWriter> file, std::vector<Token> tokens, int32_t n_layer)
        : file_(std::move(file)), tokens_(std::move(tokens)), n_layer_(n_layer) {}

private:
    Status take(const RowSource& rows) override {
        if (Status begun = file_->begin(tokens_); !begun) return begun;
        for (int32_t layer = 0; layer < n_layer_; ++layer) {
            if (Status copied = rows.copy(layer, 0, file_->k(layer), file_->v(layer)); !copied) {
                return copied;
            }
        }
        return {};
    }

    const std::shared_ptr<SlotFileWriter> file_;
    const std::vector<Token> tokens_;
    const int32_t n_layer_;
};

struct LayerRows {
    std::vector<uint16_t> k, v;
};

class RowsSink final : public HandoverSink {
public:
    explicit RowsSink(const KvLayout& layout) : layout_(layout) {}
    const LayerRows& layer(int32_t index) const { return layers_[static_cast<size_t>(index)]; }

private:
    Status take(const RowSource& rows) override {
        const auto n_rows = static_cast<size_t>(rows.n_rows());
        for (int32_t layer = 0; layer < layout_.n_layer; ++layer) {
            LayerRows& into = layers_.emplace_back();
            into.k.resize(n_rows * static_cast<size_t>(layout_.k_dim));
            into.v.resize(n_rows * static_cast<size_t>(layout_.v_dim));
            if (Status copied = rows.copy(layer, 0, into.k, into.v); !copied) return copied;
        }
        return {};
    }

    const KvLayout layout_;
    std::vector<LayerRows> layers_;
};

Status compare_rows(std::span<const uint16_t> theirs, std::span<const uint16_t> ours,
                    const ModelInfo& model, int32_t layer) {
    // Not a number is no match, unless it is the same one.
    if (std::ranges::equal(theirs, ours)) return {};
    if (theirs.size() == ours.size() && relative_error(theirs, ours) <= kRowErrorMax * kRowErrorMax)
        return {};
    return Error{
        ErrorCode::kUnsupported,
        "llama-server computes other KV rows in layer " + std::to_string(layer) + " than " +
            model.path +
            " has: give spolia the GGUF file that the server has "
            "(--model), which must run without LoRA adapters and with the model's own RoPE"};
}

std::string fallback_of(const Error& error) {
    switch (error.code) {
        case ErrorCode::kContextTooLong: return "context_too_long";
        case ErrorCode::kOverloaded: return "overloaded";
        case ErrorCode::kIo: return "slot_file";
        case ErrorCode::kUnsupported: return "unsupported";
        default: return "failed";
    }
}

// Why the planner left a prompt to the server: the commonest of its reasons.
std::string declined_for(const Receipt& receipt) {
    if (!receipt.fallback.empty()) return receipt.fallback;
    const auto most = std::ranges::max_element(receipt.misses, {}, &Miss::n_tokens);
    return most == receipt.misses.end() ? "nothing_known" : most->reason;
}

}  // namespace

SlotComposer::SlotComposer(Service& service, const LlamaServerClient& server, SlotFileForm form,
                           SlotFolder& folder, int32_t n_slots)
    : service_(service), server_(server) {
    for (int32_t slot = 0; slot < n_slots; ++slot) {
        files_.push_back(std::make_shared<SlotFileWriter>(
            folder / folder.new_name("slot" + std::to_string(slot)), service.model().kv, form));
    }
}

Result<std::unique_ptr<SlotComposer>> SlotComposer::open(Service& service,
                                                         const LlamaServerClient& server,
                                                         const ServerProps& props,
                                                         SlotFolder& folder, int32_t slot,
                                                         const std::stop_token& stop) {
    const ModelInfo& model = service.model();
    if (model.support == ReuseSupport::kExactOnly) {
        return Error{ErrorCode::kUnsupported,
                     "rows of this model can't be handed over: " + model.support_reason};
    }
    GenerateRequest request;
    Result<TokenizedText> text = service.text().tokenize(kProbeText, true, false);
    if (!text) return text.error();
    request.prompt = *std::move(text);
    request.handover = Handover{.elsewhere_ms = std::nullopt, .always = true};
    request.reuse.fidelity = Fidelity::kExact;
    const std::vector<Token> tokens = request.prompt.tokens;
    const auto rows = std::make_shared<RowsSink>(model.kv);
    const auto composed = hand_over(service, std::move(request), rows, stop);
    if (!composed) return composed.error();
    if (composed->finish == FinishReason::kCancelled) {
        return Error{ErrorCode::kCancelled, "stopped"};
    }
    const Result<SlotFileForm> form =
        probe_slots(server, {.folder = folder,
                             .layout = model.kv,
                             .tokens = tokens,
                             .slot = slot,
                             .check_rows = [&](int32_t layer, std::span<const uint16_t> k,
                                               std::span<const uint16_t> v) {
                                 const LayerRows& ours = rows->layer(layer);
                                 if (Status same = compare_rows(k, ours.k, model, layer); !same)
                                     return same;
                                 return compare_rows(v, ours.v, model, layer);
                             }});
    if (!form) return form.error();
    return std::unique_ptr<SlotComposer>(
        new SlotComposer(service, server, *form, folder, props.n_slots));
}

SlotFill SlotComposer::compose(const SlotLease& lease, GenerateRequest request,
                               std::optional<double> ms_per_token, const std::stop_token& stop) {
    const std::vector<Token>& tokens = request.prompt.tokens;
    const auto n_tokens = static_cast<int32_t>(tokens.size());
    request.handover = Handover{};
    const int32_t n_held = lease.must_clear() ? 0 : lease.n_held();
    if (ms_per_token) request.handover->elsewhere_ms = *ms_per_token * (n_tokens - n_held);
    const std::shared_ptr<SlotFileWriter>& file = files_[static_cast<size_t>(lease.slot())];
    auto sink = std::make_shared<SlotFileSink>(file, tokens, service_.model().kv.n_layer);
    const Result<GenerateOutcome> outcome =
        hand_over(service_, std::move(request), std::move(sink), stop);
    if (!outcome) return {.receipt = {}, .n_rows = 0, .fallback = fallback_of(outcome.error())};

    SlotFill fill{.receipt = outcome->receipt, .n_rows = 0, .fallback = {}};
    if (outcome->finish == FinishReason::kDeclined) {
        fill.fallback = declined_for(outcome->receipt);
    } else if (outcome->finish == FinishReason::kCancelled) {
        fill.fallback = "stopping";
    }
    return fill;
}

Status SlotComposer::restore(SlotLease& lease, int32_t n_tokens) {
    if (!lease.begin_fill()) return Error{ErrorCode::kOverloaded, "the server chooses slots"};
    const std::string file = files_[static_cast<size_t>(lease.slot())]->path().filename().string();
    const Result<int32_t> restored = server_.restore_slot(lease.slot(), file);
    if (!restored) return restored.error();
    if (*restored == n_tokens) return {};
    return Error{ErrorCode::kCorrupt, "llama-server restored " + std::to_string(*restored) +
                                          " of " + std::to_string(n_tokens) + " tokens"};
}

}  // namespace spolia
