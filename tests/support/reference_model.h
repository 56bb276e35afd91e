#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "adapters/llama/random_model.h"
#include "index/token.h"

namespace spolia::testing {

using Vector = std::vector<double>;
using Matrix = std::vector<Vector>;  // [row][dim]

// K and V of consecutive rows, [layer][row][kv_dim]. K stands before its rotation, so a row means
// the same at every position: moving one is copying it.
struct ReferenceRows {
    std::vector<Matrix> k;
    std::vector<Matrix> v;
};

// Which rows each layer makes K and V of, ascending; each layer's are among those of the layer
// before. What a row is behind a layer is only computed where the next layer wants it.
using RowsByLayer = std::vector<std::vector<int32_t>>;

// The forward pass of a tiny model, written as its formulas read: float64, no batches, no graph, no
// code shared with what it is compared with. RMSNorm, rotary Q and K, grouped heads, SwiGLU.
class ReferenceModel {
public:
    // Reads the weights of tiny_model_path(shape): llama, qwen2 or qwen3, f32, plain rotation.
    explicit ReferenceModel(const RandomModelShape& shape);

    int32_t n_layer() const { return shape_.n_layer; }

    struct Run {
        Vector logits;     // of the last row
        Matrix attention;  // [row][row attended to], over heads and layers; 0 where not computed
    };
    // Computes rows of a prompt over K and V of the others in `rows`, replacing theirs. A row sees
    // those up to its own. The last row is computed in every layer.
    Run compute(std::span<const Token> tokens, const RowsByLayer& active,
                ReferenceRows& rows) const;

    Run compute_all(std::span<const Token> tokens, ReferenceRows& rows) const;
    // A chunk's rows, computed behind a prefix that is cut off.
    ReferenceRows encode(std::span<const Token> prefix, std::span<const Token> chunk) const;
    ReferenceRows empty_rows(size_t n_rows) const;

private:
    struct Weight {
        size_t n_columns = 0;
        std::vector<float> values;  // row after row
    };

    const Weight& weight(int32_t layer, const std::string& name) const;
    Vector product(const Weight& matrix, const Vector& x) const;
    Vector project(int32_t layer, const std::string& name, const Vector& x) const;
    Vector norm(std::span<const double> x, const Weight& scale) const;
    // Norms each head where the model has a weight for it.
    Vector norm_heads(int32_t layer, const std::string& name, Vector x) const;
    Vector rotated(Vector heads, int32_t position) const;
    // What the row's heads take from rows 0 .. row; `k` is rotated.
    Vector attend(const Vector& q, int32_t row, const Matrix& k, const Matrix& v,
                  Vector& attention) const;
    Vector feed_forward(int32_t layer, const Vector& x) const;

    RandomModelShape shape_;
    std::map<std::string, Weight> weights_;
};

}  // namespace spolia::testing
