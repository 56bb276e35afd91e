#include "tests/support/reference_model.h"

#include <ggml.h>
#include <gguf.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>

#include "tests/support/tiny_models.h"

namespace spolia::testing {
namespace {

constexpr double kNormEps = 1e-6;

void add(Vector& to, std::span<const double> x) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += x[i];
}

double dot(std::span<const double> a, std::span<const double> b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

}  // namespace

ReferenceModel::ReferenceModel(const RandomModelShape& shape) : shape_(shape) {
    if (shape.quantised || !shape.rope_scaling.empty() || shape.rope_freq_factors) std::abort();
    ggml_context* tensors = nullptr;
    const std::unique_ptr<gguf_context, decltype(&gguf_free)> file(
        gguf_init_from_file(tiny_model_path(shape).c_str(), {false, &tensors}), gguf_free);
    if (!file) std::abort();
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> owner(tensors, ggml_free);
    for (ggml_tensor* t = ggml_get_first_tensor(tensors); t != nullptr;
         t = ggml_get_next_tensor(tensors, t)) {
        if (t->type != GGML_TYPE_F32) continue;
        const auto* values = static_cast<const float*>(t->data);
        weights_[t->name] = {static_cast<size_t>(t->ne[0]), {values, values + ggml_nelements(t)}};
    }
}

const ReferenceModel::Weight& ReferenceModel::weight(int32_t layer, const std::string& name) const {
    return weights_.at("blk." + std::to_string(layer) + "." + name + ".weight");
}

Vector ReferenceModel::product(const Weight& matrix, const Vector& x) const {
    Vector y(matrix.values.size() / matrix.n_columns);
    for (size_t row = 0; row < y.size(); ++row) {
        for (size_t i = 0; i < x.size(); ++i) {
            y[row] += double{matrix.values[row * matrix.n_columns + i]} * x[i];
        }
    }
    return y;
}

Vector ReferenceModel::project(int32_t layer, const std::string& name, const Vector& x) const {
    Vector y = product(weight(layer, name), x);
    const auto bias = weights_.find("blk." + std::to_string(layer) + "." + name + ".bias");
    for (size_t i = 0; i < y.size() && bias != weights_.end(); ++i) y[i] += bias->second.values[i];
    return y;
}

Vector ReferenceModel::norm(std::span<const double> x, const Weight& scale) const {
    const double root = std::sqrt(dot(x, x) / static_cast<double>(x.size()) + kNormEps);
    Vector y(x.size());
    for (size_t i = 0; i < y.size(); ++i) y[i] = x[i] / root * scale.values[i];
    return y;
}

Vector ReferenceModel::norm_heads(int32_t layer, const std::string& name, Vector x) const {
    const auto scale = weights_.find("blk." + std::to_string(layer) + "." + name + ".weight");
    if (scale == weights_.end()) return x;
    const auto dim = static_cast<size_t>(shape_.head_dim);
    for (size_t head = 0; head < x.size(); head += dim) {
        std::ranges::copy(norm(std::span(x).subspan(head, dim), scale->second), x.begin() + head);
    }
    return x;
}

Vector ReferenceModel::rotated(Vector heads, int32_t position) const {
    const auto dim = static_cast<size_t>(shape_.head_dim);
    const bool interleaved = shape_.architecture == "llama";
    for (size_t head = 0; head < heads.size(); head += dim) {
        for (size_t i = 0; i < dim / 2; ++i) {
            const double angle =
                position * std::pow(double{shape_.rope_base}, -2.0 * double(i) / double(dim));
            double& a = heads[head + (interleaved ? 2 * i : i)];
            double& b = heads[head + (interleaved ? 2 * i + 1 : i + dim / 2)];
            const double turned = a * std::cos(angle) - b * std::sin(angle);
            b = a * std::sin(angle) + b * std::cos(angle);
            a = turned;
        }
    }
    return heads;
}

Vector ReferenceModel::attend(const Vector& q, int32_t row, const Matrix& k, const Matrix& v,
                              Vector& attention) const {
    const auto dim = static_cast<size_t>(shape_.head_dim);
    const auto n_seen = static_cast<size_t>(row) + 1;
    Vector out(q.size());
    for (int32_t head = 0; head < shape_.n_head; ++head) {
        const size_t at = static_cast<size_t>(head) * dim;
        const size_t kv_at = static_cast<size_t>(head / (shape_.n_head / shape_.n_head_kv)) * dim;
        Vector weights(n_seen);
        for (size_t cell = 0; cell < n_seen; ++cell) {
            weights[cell] = std::exp(
                dot(std::span(q).subspan(at, dim), std::span(k[cell]).subspan(kv_at, dim)) /
                std::sqrt(double(dim)));
        }
        const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
        for (size_t cell = 0; cell < n_seen; ++cell) {
            attention[cell] += weights[cell] / sum;
            for (size_t i = 0; i < dim; ++i) {
                out[at + i] += weights[cell] / sum * v[cell][kv_at + i];
            }
        }
    }
    return out;
}

Vector ReferenceModel::feed_forward(int32_t layer, const Vector& x) const {
    Vector inner = project(layer, "ffn_up", x);
    const Vector gate = project(layer, "ffn_gate", x);
    for (size_t i = 0; i < inner.size(); ++i) inner[i] *= gate[i] / (1 + std::exp(-gate[i]));
    return project(layer, "ffn_down", inner);
}

ReferenceModel::Run ReferenceModel::compute(std::span<const Token> tokens,
                                            const RowsByLayer& active, ReferenceRows& rows) const {
    const size_t n_rows = tokens.size();
    Matrix hidden(n_rows);
    const Weight& embedding = weights_.at("token_embd.weight");
    for (const int32_t row : active.front()) {
        const auto begin =
            embedding.values.begin() + tokens[static_cast<size_t>(row)] * shape_.n_embd;
        hidden[static_cast<size_t>(row)].assign(begin, begin + shape_.n_embd);
    }
    Run run;
    run.attention.assign(n_rows, Vector(n_rows));
    for (int32_t layer = 0; layer < shape_.n_layer; ++layer) {
        const auto l = static_cast<size_t>(layer);
        Matrix& k = rows.k[l];
        Matrix& v = rows.v[l];
        for (const int32_t row : active[l]) {
            const auto r = static_cast<size_t>(row);
            const Vector x = norm(hidden[r], weight(layer, "attn_norm"));
            k[r] = norm_heads(layer, "attn_k_norm", project(layer, "attn_k", x));
            v[r] = project(layer, "attn_v", x);
        }
        Matrix k_in_place(n_rows);
        for (size_t r = 0; r < n_rows; ++r) k_in_place[r] = rotated(k[r], static_cast<int32_t>(r));
        for (const int32_t row : l + 1 < active.size() ? active[l + 1] : active[l]) {
            const auto r = static_cast<size_t>(row);
            const Vector x = norm(hidden[r], weight(layer, "attn_norm"));
            const Vector q =
                rotated(norm_heads(layer, "attn_q_norm", project(layer, "attn_q", x)), row);
            add(hidden[r],
                project(layer, "attn_output", attend(q, row, k_in_place, v, run.attention[r])));
            add(hidden[r], feed_forward(layer, norm(hidden[r], weight(layer, "ffn_norm"))));
        }
    }
    run.logits = product(weights_.at("output.weight"),
                         norm(hidden.back(), weights_.at("output_norm.weight")));
    return run;
}

ReferenceModel::Run ReferenceModel::compute_all(std::span<const Token> tokens,
                                                ReferenceRows& rows) const {
    std::vector<int32_t> all(tokens.size());
    std::iota(all.begin(), all.end(), 0);
    return compute(tokens, RowsByLayer(static_cast<size_t>(shape_.n_layer), all), rows);
}

ReferenceRows ReferenceModel::encode(std::span<const Token> prefix,
                                     std::span<const Token> chunk) const {
    std::vector<Token> tokens(prefix.begin(), prefix.end());
    tokens.insert(tokens.end(), chunk.begin(), chunk.end());
    ReferenceRows rows = empty_rows(tokens.size());
    compute_all(tokens, rows);
    const auto n_prefix = static_cast<std::ptrdiff_t>(prefix.size());
    for (auto* part : {&rows.k, &rows.v}) {
        for (Matrix& layer : *part) layer.erase(layer.begin(), layer.begin() + n_prefix);
    }
    return rows;
}

ReferenceRows ReferenceModel::empty_rows(size_t n_rows) const {
    const Matrix rows(n_rows, Vector(static_cast<size_t>(shape_.n_head_kv * shape_.head_dim)));
    const std::vector<Matrix> layers(static_cast<size_t>(shape_.n_layer), rows);
    return {layers, layers};
}

}  // namespace spolia::testing
