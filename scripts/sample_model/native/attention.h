#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "scripts/sample_model/native/lanes.h"
#include "scripts/sample_model/native/prompt_rows.h"

namespace {

// Replaces scores by their exponentials, relative to the highest; gives the sum of these and, in
// `log_sum`, the logarithm of that of the exponentials proper.
inline float exponentials(float* scores, int n, float& log_sum) {
    Lanes top = load(scores);
    for (int j = kLanes; j < n; j += kLanes) {
        const Lanes x = load(scores + j);
        top = x > top ? x : top;
    }
    float highest = top[0];
    for (int i = 1; i < kLanes; ++i) highest = std::max(highest, top[i]);
    Lanes sums = {};
    for (int j = 0; j < n; j += kLanes) {
        const Lanes p = exponential(load(scores + j) - highest);
        store(scores + j, p);
        sums += p;
    }
    const float total = sum(sums);
    log_sum = highest + std::log(total);
    return total;
}

// One prompt's attention.
template <typename T>
class ForwardPass {
public:
    ForwardPass(const Attention<T>& in, const PromptRows& prompt, T* out, float* log_sums)
        : in_(in), prompt_(prompt), out_(out), log_sums_(log_sums) {}

    void run() {
        const int group = in_.heads.group();
        for (int kv = 0; kv < in_.heads.n_head_kv; ++kv) {
            in_.read_sides(prompt_, kv, k_, v_);
            stride_ = k_.stride + 4 * kLanes;
            scores_.resize(size_t(kBlock) * stride_);
            for (int head = kv * group; head < (kv + 1) * group; ++head)
                each_block(prompt_, in_.lengths, [&](const Rows& rows) { run_rows(rows, head); });
        }
    }

private:
    void run_rows(const Rows& rows, int head) {
        float q[kBlock][kDim], mixed[kBlock][kDim] = {}, total[kBlock];
        in_.read_query(prompt_, rows, head, q);
        in_.both_products(q, k_, rows, scores_.data(), stride_);
        in_.hide(rows, scores_.data(), stride_);
        for (int r = 0; r < kBlock; ++r) {
            float log_sum;
            total[r] = exponentials(scores_.data() + size_t(r) * stride_, in_.width(rows), log_sum);
            if (r < rows.n) log_sums_[at(rows, r, head)] = log_sum;
        }
        gather(scores_.data(), stride_, v_.rows.data(), rows.doc, mixed);
        gather(scores_.data() + rows.tail(), stride_, v_.rows.data() + size_t(rows.own) * kDim,
               rows.own_end() - rows.own, mixed);
        for (int r = 0; r < rows.n; ++r) {
            T* to = out_ + at(rows, r, head) * kDim;
            for (int d = 0; d < kDim; d += kLanes) write(to + d, load(mixed[r] + d) / total[r]);
        }
    }
    size_t at(const Rows& rows, int r, int head) const {
        return size_t(prompt_.first + rows.begin + r) * in_.heads.n_head + head;
    }

    const Attention<T>& in_;
    const PromptRows& prompt_;
    T* const out_;
    float* const log_sums_;
    Side k_, v_;
    int stride_ = 0;
    std::vector<float> scores_;
};

// The gradient of one prompt's attention, from its output and that output's gradient.
template <typename T>
class Backward {
public:
    Backward(const Attention<T>& in, const PromptRows& prompt, const T* out, const float* log_sums,
             const T* grad_out, T* grad)
        : in_(in),
          prompt_(prompt),
          out_(out),
          log_sums_(log_sums),
          grad_out_(grad_out),
          grad_(grad) {}

    void run() {
        const int group = in_.heads.group();
        for (int kv = 0; kv < in_.heads.n_head_kv; ++kv) {
            in_.read_sides(prompt_, kv, k_, v_);
            grad_k_.assign(size_t(k_.n) * kDim, 0.0f);
            grad_v_.assign(size_t(k_.n) * kDim, 0.0f);
            stride_ = k_.stride + 4 * kLanes;
            p_.resize(size_t(kBlock) * stride_);
            dp_.resize(size_t(kBlock) * stride_);
            for (int head = kv * group; head < (kv + 1) * group; ++head)
                each_block(prompt_, in_.lengths, [&](const Rows& rows) { run_rows(rows, head); });
            write_sides(kv);
        }
    }

private:
    void run_rows(const Rows& rows, int head) {
        float q[kBlock][kDim], g[kBlock][kDim] = {}, dq[kBlock][kDim] = {};
        in_.read_query(prompt_, rows, head, q);
        find_shares(rows, head, q, g);
        const int own = rows.own_end() - rows.own;
        const size_t own_at = size_t(rows.own) * kDim;
        scatter(p_.data(), stride_, g, rows.doc, grad_v_.data());
        scatter(p_.data() + rows.tail(), stride_, g, own, grad_v_.data() + own_at);
        scatter(dp_.data(), stride_, q, rows.doc, grad_k_.data());
        scatter(dp_.data() + rows.tail(), stride_, q, own, grad_k_.data() + own_at);
        gather(dp_.data(), stride_, k_.rows.data(), rows.doc, dq);
        gather(dp_.data() + rows.tail(), stride_, k_.rows.data() + own_at, own, dq);
        for (int r = 0; r < rows.n; ++r) {
            const int row = prompt_.first + rows.begin + r;
            turn(dq[r], in_.cosines + size_t(row) * kHalf, in_.sines + size_t(row) * kHalf,
                 1 / std::sqrt(float(kDim)), -1);
            T* to = grad_ + size_t(row) * in_.heads.width() + head * kDim;
            for (int d = 0; d < kDim; d += kLanes) write(to + d, load(dq[r] + d));
        }
    }
    // The rows' output gradients in g, their softmax in p_ and the gradient of its scores in dp_.
    void find_shares(const Rows& rows, int head, const float (*q)[kDim], float (*g)[kDim]) {
        float mean[kBlock] = {}, log_sum[kBlock];
        std::fill(log_sum, log_sum + kBlock, INFINITY);
        for (int r = 0; r < rows.n; ++r) {
            const size_t row = size_t(prompt_.first + rows.begin + r) * in_.heads.n_head + head;
            for (int d = 0; d < kDim; d += kLanes) {
                const Lanes of_row = read(grad_out_ + row * kDim + d);
                store(g[r] + d, of_row);
                mean[r] += sum(of_row * read(out_ + row * kDim + d));
            }
            log_sum[r] = log_sums_[row];
        }
        in_.both_products(q, k_, rows, p_.data(), stride_);
        in_.hide(rows, p_.data(), stride_);
        in_.both_products(g, v_, rows, dp_.data(), stride_);
        for (int r = 0; r < kBlock; ++r) {
            float *s = p_.data() + size_t(r) * stride_, *t = dp_.data() + size_t(r) * stride_;
            for (int j = 0; j < in_.width(rows); j += kLanes) {
                const Lanes e = exponential(load(s + j) - log_sum[r]);
                store(s + j, e);
                store(t + j, e * (load(t + j) - mean[r]));
            }
        }
    }
    void write_sides(int kv) {
        for (int r = 0; r < k_.n; ++r) {
            const int row = prompt_.first + r;
            float* dk = &grad_k_[size_t(r) * kDim];
            turn(dk, in_.cosines + size_t(row) * kHalf, in_.sines + size_t(row) * kHalf, 1, -1);
            T* to = grad_ + size_t(row) * in_.heads.width() + (in_.heads.n_head + kv) * kDim;
            for (int d = 0; d < kDim; d += kLanes) {
                write(to + d, load(dk + d));
                write(to + in_.heads.n_head_kv * kDim + d, load(&grad_v_[size_t(r) * kDim + d]));
            }
        }
    }

    const Attention<T>& in_;
    const PromptRows& prompt_;
    const T* const out_;
    const float* const log_sums_;
    const T* const grad_out_;
    T* const grad_;
    Side k_, v_;
    int stride_ = 0;
    std::vector<float> p_, dp_, grad_k_, grad_v_;
};

}  // namespace
