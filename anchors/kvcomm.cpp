#include "anchors/kvcomm.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>

#include "reuse/half_float.h"

namespace spolia {
namespace {

std::unique_ptr<KvBlock> copy_of(const KvBlock& block) {
    auto copy = std::make_unique<KvBlock>(block.meta());
    std::ranges::copy(block.data(), copy->data().begin());
    return copy;
}

std::span<const uint16_t> elements(const KvBlock& block) {
    return {reinterpret_cast<const uint16_t*>(block.data().data()), block.data().size() / 2};
}

std::span<uint16_t> elements(KvBlock& block) {
    return {reinterpret_cast<uint16_t*>(block.data().data()), block.data().size() / 2};
}

void softmax_of_negative(std::span<double> distances) {
    const double least = *std::ranges::min_element(distances);
    double sum = 0;
    for (double& value : distances) sum += value = std::exp(least - value);
    for (double& value : distances) value /= sum;
}

double entropy_bits(std::span<const double> weights) {
    double sum = 0;
    for (const double weight : weights) sum -= weight > 0 ? weight * std::log2(weight) : 0;
    return sum;
}

// |V - V'|_2 over all layers and the first n_rows rows of `other`.
double distance(const KvBlock& block, const KvBlock& other) {
    double sum = 0;
    for (int32_t layer = 0; layer < block.meta().layout.n_layer; ++layer) {
        const std::span<const uint16_t> a = block.v(layer), b = other.v(layer);
        float of_layer = 0;
        for (size_t i = 0; i < a.size(); ++i) {
            const float difference = half_to_float(a[i]) - half_to_float(b[i]);
            of_layer += difference * difference;
        }
        sum += static_cast<double>(of_layer);
    }
    return std::sqrt(sum);
}

// Mean absolute difference of each row over layers and elements, of K or of V.
template <class Rows>
std::vector<double> row_distances(const KvBlock& block, const KvBlock& other, size_t dim,
                                  Rows&& rows) {
    const auto n_rows = static_cast<size_t>(block.n_rows());
    const int32_t n_layer = block.meta().layout.n_layer;
    std::vector<double> distances(n_rows, 0.0);
    for (int32_t layer = 0; layer < n_layer; ++layer) {
        const std::span<const uint16_t> a = rows(block, layer), b = rows(other, layer);
        for (size_t row = 0; row < n_rows; ++row) {
            float sum = 0;
            for (size_t i = row * dim; i < (row + 1) * dim; ++i) {
                sum += std::abs(half_to_float(a[i]) - half_to_float(b[i]));
            }
            distances[row] += static_cast<double>(sum);
        }
    }
    for (double& value : distances) value /= static_cast<double>(dim) * n_layer;
    return distances;
}

// weights[row * n_anchors + i].
template <class Rows>
std::vector<float> row_weights(const KvBlock& block, std::span<const KvBlock* const> bases,
                               size_t dim, Rows&& rows) {
    const auto n_rows = static_cast<size_t>(block.n_rows());
    std::vector<double> distances(n_rows * bases.size());
    for (size_t i = 0; i < bases.size(); ++i) {
        const std::vector<double> of_rows = row_distances(block, *bases[i], dim, rows);
        for (size_t row = 0; row < n_rows; ++row) distances[row * bases.size() + i] = of_rows[row];
    }
    for (size_t row = 0; row < n_rows; ++row) {
        softmax_of_negative(std::span(distances).subspan(row * bases.size(), bases.size()));
    }
    return {distances.begin(), distances.end()};
}

// target += sum_i weight_i delta_i, row by row.
void add_deltas(std::span<uint16_t> target, std::span<const std::span<const uint16_t>> deltas,
                std::span<const float> weights, size_t dim) {
    const size_t n_rows = target.size() / dim;
    std::vector<float> sum(dim);
    for (size_t row = 0; row < n_rows; ++row) {
        for (size_t i = 0; i < dim; ++i) sum[i] = half_to_float(target[row * dim + i]);
        for (size_t anchor = 0; anchor < deltas.size(); ++anchor) {
            const float weight = weights[row * deltas.size() + anchor];
            const uint16_t* delta = deltas[anchor].data() + row * dim;
            for (size_t i = 0; i < dim; ++i) sum[i] += weight * half_to_float(delta[i]);
        }
        for (size_t i = 0; i < dim; ++i) target[row * dim + i] = float_to_half(sum[i]);
    }
}

const auto kKeys = [](const KvBlock& block, int32_t layer) { return block.k(layer); };
const auto kValues = [](const KvBlock& block, int32_t layer) { return block.v(layer); };

}  // namespace

void KvcommPlaceholder::add(const KvBlock& base, const KvBlock& dense, int32_t row) {
    Anchor anchor{.base = copy_of(base), .delta = copy_of(dense), .row = row};
    const std::span<uint16_t> delta = elements(*anchor.delta);
    const std::span<const uint16_t> from = elements(base);
    for (size_t i = 0; i < delta.size(); ++i) {
        delta[i] = float_to_half(half_to_float(delta[i]) - half_to_float(from[i]));
    }
    anchors_.push_back(std::move(anchor));
    if (anchors_.size() > options_.anchors_max) evict();
}

std::unique_ptr<KvBlock> KvcommPlaceholder::predict(const KvBlock& base, const RopeSpec& rope,
                                                    int32_t row) {
    const std::optional<Choice> choice = choose(base);
    if (!choice) return nullptr;
    count_use(*choice);
    std::vector<const KvBlock*> bases;
    for (const size_t i : choice->anchors) bases.push_back(anchors_[i].base.get());
    const KvLayout& layout = base.meta().layout;
    const auto k_dim = static_cast<size_t>(layout.k_dim), v_dim = static_cast<size_t>(layout.v_dim);
    const std::vector<float> k_weights = row_weights(base, bases, k_dim, kKeys);
    const std::vector<float> v_weights = row_weights(base, bases, v_dim, kValues);

    std::unique_ptr<KvBlock> predicted = copy_of(base);
    const int32_t n_rows = base.n_rows();
    std::vector<std::vector<uint16_t>> moved(bases.size());
    std::vector<std::span<const uint16_t>> k_deltas(bases.size()), v_deltas(bases.size());
    for (int32_t layer = 1; layer < layout.n_layer; ++layer) {
        for (size_t i = 0; i < bases.size(); ++i) {
            const Anchor& anchor = anchors_[choice->anchors[i]];
            // Added at `row`, what was at the anchor's own row is as far off as those are apart.
            moved[i].resize(static_cast<size_t>(n_rows) * k_dim);
            rotate_rows(Rotation(rope, anchor.row - row),
                        std::as_const(*anchor.delta).k(layer).data(), moved[i].data(), n_rows,
                        layout.k_dim);
            k_deltas[i] = moved[i];
            v_deltas[i] = std::as_const(*anchor.delta).v(layer);
        }
        add_deltas(predicted->k(layer), k_deltas, k_weights, k_dim);
        add_deltas(predicted->v(layer), v_deltas, v_weights, v_dim);
    }
    return predicted;
}

std::optional<KvcommPlaceholder::Choice> KvcommPlaceholder::choose(const KvBlock& base) const {
    Choice choice;
    for (size_t i = 0; i < anchors_.size(); ++i) {
        if (anchors_[i].base->n_rows() < base.n_rows()) continue;
        choice.anchors.push_back(i);
        choice.weights.push_back(distance(base, *anchors_[i].base));
    }
    if (choice.anchors.size() < 2) return std::nullopt;
    softmax_of_negative(choice.weights);
    const double most = std::log2(static_cast<double>(choice.anchors.size()));
    if (entropy_bits(choice.weights) > options_.gamma * most) return std::nullopt;
    return choice;
}

void KvcommPlaceholder::count_use(const Choice& choice) {
    std::vector<size_t> order(choice.anchors.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::ranges::sort(order, std::ranges::greater(), [&](size_t i) { return choice.weights[i]; });
    double covered = 0;
    for (const size_t i : order) {
        if (covered >= options_.top_p) break;
        covered += choice.weights[i];
        ++anchors_[choice.anchors[i]].n_used;
    }
}

void KvcommPlaceholder::evict() {
    const auto end =
        anchors_.begin() + static_cast<std::ptrdiff_t>(std::min(options_.oldest, anchors_.size()));
    anchors_.erase(std::min_element(anchors_.begin(), end, [](const Anchor& a, const Anchor& b) {
        return a.n_used < b.n_used;
    }));
}

uint64_t KvcommPlaceholder::bytes() const {
    uint64_t bytes = 0;
    for (const Anchor& anchor : anchors_) {
        bytes += anchor.base->bytes_total() + anchor.delta->bytes_total();
    }
    return bytes;
}

}  // namespace spolia
