#include "adapters/llama/embedding_model.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "adapters/llama/available_memory.h"
#include "adapters/llama/model.h"
#include "adapters/llama/token_ids.h"
#include "index/thread_annotations.h"
#include "index/unit_vector.h"
#include "llama.h"

namespace spolia {
namespace {

// Changes whenever a model's vectors do, so that old ones are not compared with new ones.
constexpr std::string_view kRecipe = "spolia llama embedding 1";
constexpr int32_t kSequencesMax = 64;

using Pooling = enum llama_pooling_type;  // a function has that name, too

struct ContextFree {
    void operator()(llama_context* context) const { llama_free(context); }
};

// What the tokenizer puts around every text.
struct Wrapping {
    std::vector<Token> before, after;

    int32_t size() const { return static_cast<int32_t>(before.size() + after.size()); }
};

Result<Wrapping> wrapping_of(const llama_vocab* vocab) {
    const Result<std::vector<Token>> bare = token_ids(vocab, "a", false, false);
    if (!bare) return bare.error();
    const Result<std::vector<Token>> whole = token_ids(vocab, "a", true, false);
    if (!whole) return whole.error();
    const auto text = std::search(whole->begin(), whole->end(), bare->begin(), bare->end());
    if (bare->empty() || text == whole->end()) {
        return Error{ErrorCode::kUnsupported,
                     "the model's tokenizer makes other tokens of a text "
                     "that stands alone than of one that does not"};
    }
    const auto behind = text + static_cast<ptrdiff_t>(bare->size());
    return Wrapping{{whole->begin(), text}, {behind, whole->end()}};
}

// A part of a text that is computed at once.
struct Window {
    size_t text;  // its place among the texts of a call
    std::vector<Token> tokens;
    int32_t n_text_tokens;  // without what is wrapped around them
};

// Several texts for llama.cpp to compute at once, each a sequence by the order in which they came.
class TextBatch {
public:
    void add(std::span<const Token> tokens) {
        for (size_t i = 0; i < tokens.size(); ++i) {
            tokens_.push_back(tokens[i]);
            positions_.push_back(static_cast<llama_pos>(i));
            sequences_.push_back(n_sequences_);
        }
        ++n_sequences_;
    }

    // Lives as long as this, and until the next call.
    llama_batch get() {
        n_lists_.assign(tokens_.size(), 1);
        lists_.clear();
        for (llama_seq_id& sequence : sequences_) lists_.push_back(&sequence);
        return {.n_tokens = static_cast<int32_t>(tokens_.size()),
                .token = tokens_.data(),
                .embd = nullptr,
                .pos = positions_.data(),
                .n_seq_id = n_lists_.data(),
                .seq_id = lists_.data(),
                .logits = nullptr};
    }

private:
    llama_seq_id n_sequences_ = 0;
    std::vector<Token> tokens_;
    std::vector<llama_pos> positions_;
    std::vector<llama_seq_id> sequences_;  // of each token
    std::vector<int32_t> n_lists_;
    std::vector<llama_seq_id*> lists_;
};

class EmbeddingModel final : public TextEmbedder {
public:
    EmbeddingModel(std::unique_ptr<LlamaModel> model, EmbeddingModelOptions options)
        : model_(std::move(model)), options_(options) {}

    Status open() EXCLUDES(mutex_);

    int32_t n_dims() const override { return n_dims_; }
    Key128 fingerprint() const override { return fingerprint_; }
    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override
        EXCLUDES(mutex_);

private:
    const llama_vocab* vocab() const { return llama_model_get_vocab(model_->get()); }
    Error refusal(ErrorCode code, const std::string& why) const {
        return {code, "embedding model " + model_->path() + ": " + why};
    }

    // llama.cpp wants a batch to hold a token of each.
    int32_t n_sequences_max() const { return std::min(kSequencesMax, n_window_); }

    Result<Pooling> choose_pooling() const;
    Status check_memory() const;
    Status open_context(Pooling pooling) REQUIRES(mutex_);
    Result<std::vector<Window>> cut(std::span<const std::string_view> texts) const;
    Status compute(std::span<const Window> windows, std::span<float> sums) const REQUIRES(mutex_);

    const std::unique_ptr<LlamaModel> model_;
    const EmbeddingModelOptions options_;
    Wrapping wrapping_;
    int32_t n_window_ = 0;  // tokens, with what is wrapped around them
    int32_t n_dims_ = 0;
    Key128 fingerprint_;

    mutable Mutex mutex_;
    std::unique_ptr<llama_context, ContextFree> context_ PT_GUARDED_BY(mutex_);
};

Status EmbeddingModel::open() {
    const llama_model* model = model_->get();
    if (llama_vocab_type(vocab()) == LLAMA_VOCAB_TYPE_NONE) {
        return refusal(ErrorCode::kUnsupported, "the file has no tokenizer");
    }
    if (llama_model_has_encoder(model) && llama_model_has_decoder(model)) {
        return refusal(ErrorCode::kUnsupported,
                       "a model with encoder and decoder makes no vectors "
                       "of texts");
    }
    const Result<Pooling> pooling = choose_pooling();
    if (!pooling) return pooling.error();
    Result<Wrapping> wrapping = wrapping_of(vocab());
    if (!wrapping) return refusal(wrapping.error().code, wrapping.error().message);
    wrapping_ = *std::move(wrapping);
    n_dims_ = llama_model_n_embd_out(model);
    n_window_ = std::min(options_.n_window_tokens, llama_model_n_ctx_train(model));
    if (n_window_ <= wrapping_.size()) {
        return refusal(ErrorCode::kUnsupported,
                       "a window of " + std::to_string(n_window_) + " tokens holds no text");
    }
    fingerprint_ = hash_text(std::string(kRecipe) + '\0' + model_->file_fingerprint().hex() + '\0' +
                             std::to_string(*pooling) + '\0' + std::to_string(n_window_));
    if (Status enough = check_memory(); !enough.ok()) return enough;
    const MutexLock lock(mutex_);
    return open_context(*pooling);
}

Result<Pooling> EmbeddingModel::choose_pooling() const {
    const auto named =
        static_cast<Pooling>(model_->arch_number("pooling_type").value_or(LLAMA_POOLING_TYPE_NONE));
    switch (named) {
        case LLAMA_POOLING_TYPE_MEAN:
        case LLAMA_POOLING_TYPE_CLS:
        case LLAMA_POOLING_TYPE_LAST: return named;
        case LLAMA_POOLING_TYPE_RANK:
            return refusal(ErrorCode::kUnsupported,
                           "it is a reranker, which makes a score of two texts; take a model that "
                           "makes vectors");
        default: return LLAMA_POOLING_TYPE_MEAN;
    }
}

// llama.cpp computes and keeps logits for every token, whether wanted or not.
Status EmbeddingModel::check_memory() const {
    const uint64_t needed = 2 * sizeof(float) * static_cast<uint64_t>(n_window_) *
                            static_cast<uint64_t>(llama_vocab_n_tokens(vocab()));
    const std::optional<uint64_t> available = available_memory();
    if (!available || needed <= *available) return {};
    return refusal(ErrorCode::kOutOfMemory, "a window of " + std::to_string(n_window_) +
                                                " tokens needs " + std::to_string(needed >> 20) +
                                                " MiB, but only " +
                                                std::to_string(*available >> 20) + " MiB are free");
}

Status EmbeddingModel::open_context(Pooling pooling) {
    const int32_t n_threads =
        options_.n_threads > 0
            ? options_.n_threads
            : std::max(1, static_cast<int32_t>(std::thread::hardware_concurrency()));
    llama_context_params params = llama_context_default_params();
    // A sequence is pooled over the batch that llama.cpp computes at once: it must hold a window.
    params.n_ctx = params.n_batch = params.n_ubatch = static_cast<uint32_t>(n_window_);
    params.n_seq_max = static_cast<uint32_t>(n_sequences_max());
    params.kv_unified = true;  // any number of sequences share the cells
    params.n_threads = params.n_threads_batch = n_threads;
    params.embeddings = true;
    params.pooling_type = pooling;
    params.no_perf = true;
    take_llama_error();
    context_.reset(llama_init_from_model(model_->get(), params));
    if (!context_) {
        return refusal(ErrorCode::kOutOfMemory,
                       "llama.cpp can't make a context: " + take_llama_error());
    }
    return {};
}

Result<std::vector<Window>> EmbeddingModel::cut(std::span<const std::string_view> texts) const {
    const auto n_room = static_cast<size_t>(n_window_ - wrapping_.size());
    std::vector<Window> windows;
    for (size_t i = 0; i < texts.size(); ++i) {
        const Result<std::vector<Token>> tokens = token_ids(vocab(), texts[i], false, false);
        if (!tokens) return tokens.error();
        for (size_t begin = 0; begin < tokens->size(); begin += n_room) {
            const size_t n = std::min(n_room, tokens->size() - begin);
            Window window{i, wrapping_.before, static_cast<int32_t>(n)};
            const auto first = tokens->begin() + static_cast<ptrdiff_t>(begin);
            window.tokens.insert(window.tokens.end(), first, first + static_cast<ptrdiff_t>(n));
            window.tokens.insert(window.tokens.end(), wrapping_.after.begin(),
                                 wrapping_.after.end());
            windows.push_back(std::move(window));
        }
    }
    return windows;
}

// Adds the windows' vectors, each as often as it has tokens, to those of their texts.
Status EmbeddingModel::compute(std::span<const Window> windows, std::span<float> sums) const {
    TextBatch batch;
    for (const Window& window : windows) batch.add(window.tokens);
    take_llama_error();
    if (llama_memory_t memory = llama_get_memory(context_.get())) {
        llama_memory_clear(memory, false);
    }
    if (const int32_t failed = llama_decode(context_.get(), batch.get()); failed != 0) {
        const std::string why = take_llama_error();
        return refusal(ErrorCode::kInternal, "llama.cpp can't compute a batch (" +
                                                 (why.empty() ? std::to_string(failed) : why) +
                                                 ")");
    }
    const auto n_dims = static_cast<size_t>(n_dims_);
    for (size_t s = 0; s < windows.size(); ++s) {
        const float* pooled =
            llama_get_embeddings_seq(context_.get(), static_cast<llama_seq_id>(s));
        std::vector<float> vector(pooled, pooled == nullptr ? nullptr : pooled + n_dims);
        if (pooled == nullptr || !make_unit(vector)) {
            return refusal(ErrorCode::kInternal, "its vector of a text is no finite numbers");
        }
        const std::span<float> sum = sums.subspan(windows[s].text * n_dims, n_dims);
        for (size_t d = 0; d < n_dims; ++d) {
            sum[d] += static_cast<float>(windows[s].n_text_tokens) * vector[d];
        }
    }
    return {};
}

Result<std::vector<float>> EmbeddingModel::embed(std::span<const std::string_view> texts) const {
    const Result<std::vector<Window>> windows = cut(texts);
    if (!windows) return windows.error();
    const auto n_dims = static_cast<size_t>(n_dims_);
    std::vector<float> vectors(texts.size() * n_dims);
    for (size_t begin = 0; begin < windows->size();) {
        size_t end = begin, n_tokens = 0;
        while (end < windows->size() && end - begin < static_cast<size_t>(n_sequences_max())) {
            n_tokens += (*windows)[end].tokens.size();
            if (n_tokens > static_cast<size_t>(n_window_)) break;
            ++end;
        }
        const MutexLock lock(mutex_);
        const std::span batch = std::span(*windows).subspan(begin, end - begin);
        if (Status done = compute(batch, vectors); !done.ok()) return done.error();
        begin = end;
    }
    for (size_t i = 0; i < texts.size(); ++i) {
        make_unit(std::span(vectors).subspan(i * n_dims, n_dims));
    }
    return vectors;
}

}  // namespace

Result<std::unique_ptr<TextEmbedder>> open_embedding_model(const std::string& path,
                                                           const EmbeddingModelOptions& options) {
    Result<std::unique_ptr<LlamaModel>> model = LlamaModel::load({path, options.n_gpu_layers, {}});
    if (!model) return model.error();
    auto embedder = std::make_unique<EmbeddingModel>(*std::move(model), options);
    if (Status opened = embedder->open(); !opened.ok()) return opened.error();
    return std::unique_ptr<TextEmbedder>(std::move(embedder));
}

}  // namespace spolia
