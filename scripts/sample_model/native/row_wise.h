#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scripts/sample_model/native/lanes.h"

// RMSNorm and the gated activation; widths are multiples of kLanes.

namespace {

template <typename T>
void norm_forward(const float* x, const float* weight, T* y, float* inverse, int64_t rows,
                  int64_t width, float eps) {
#pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const float* in = x + r * width;
        Lanes squares = {};
        for (int64_t i = 0; i < width; i += kLanes) squares += load(in + i) * load(in + i);
        const float scale = 1 / std::sqrt(sum(squares) / float(width) + eps);
        inverse[r] = scale;
        for (int64_t i = 0; i < width; i += kLanes)
            write(y + r * width + i, load(in + i) * scale * load(weight + i));
    }
}

// One thread adds up the weight's gradient at a time.
template <typename T>
void norm_backward(const float* x, const float* weight, const float* inverse, const T* grad_y,
                   float* grad_x, float* grad_weight, int64_t rows, int64_t width) {
    std::fill(grad_weight, grad_weight + width, 0.0f);
#pragma omp parallel
    {
        std::vector<float> mine(size_t(width), 0.0f);
#pragma omp for
        for (int64_t r = 0; r < rows; ++r) {
            const float *in = x + r * width, scale = inverse[r];
            const T* g = grad_y + r * width;
            Lanes dots = {};
            for (int64_t i = 0; i < width; i += kLanes)
                dots += read(g + i) * load(weight + i) * load(in + i);
            const float back = sum(dots) * scale * scale * scale / float(width);
            for (int64_t i = 0; i < width; i += kLanes) {
                const Lanes gi = read(g + i), xi = load(in + i);
                store(&mine[size_t(i)], load(&mine[size_t(i)]) + gi * xi * scale);
                store(grad_x + r * width + i, gi * load(weight + i) * scale - xi * back);
            }
        }
#pragma omp critical
        for (int64_t i = 0; i < width; ++i) grad_weight[i] += mine[size_t(i)];
    }
}

// y = silu(gate) * up; a row of x is the gate, then up.
template <typename T>
void gate_forward(const T* x, T* y, int64_t rows, int64_t width) {
#pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const T* gate = x + r * 2 * width;
        for (int64_t i = 0; i < width; i += kLanes) {
            const Lanes g = read(gate + i);
            write(y + r * width + i, g * sigmoid(g) * read(gate + width + i));
        }
    }
}

template <typename T>
void gate_backward(const T* x, const T* grad_y, T* grad_x, int64_t rows, int64_t width) {
#pragma omp parallel for
    for (int64_t r = 0; r < rows; ++r) {
        const T* gate = x + r * 2 * width;
        T* grad_gate = grad_x + r * 2 * width;
        for (int64_t i = 0; i < width; i += kLanes) {
            const Lanes g = read(gate + i), d = read(grad_y + r * width + i), s = sigmoid(g);
            write(grad_gate + i, d * read(gate + width + i) * s * (1.0f + g * (1.0f - s)));
            write(grad_gate + width + i, d * g * s);
        }
    }
}

}  // namespace
