#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "scripts/sample_model/native/lanes.h"

// A prompt is n_doc rows that attend causally, then questions, each of which sees those rows and
// its own rows before. q, k and v of a row stand behind each other in one row of `qkv`.

namespace {

constexpr int kDim = 32;  // of a head
constexpr int kHalf = kDim / 2;
constexpr int kBlock = 8;  // rows that share a pass over their columns

struct Heads {
    int n_head, n_head_kv;

    int width() const { return (n_head + 2 * n_head_kv) * kDim; }
    int group() const { return n_head / n_head_kv; }  // heads of a key and value
};

struct PromptRows {
    int32_t first, n_doc, n_questions, question;  // `question`: index of its first length
};

// One prompt's keys and values of one head: rows, and columns for products with rows.
struct Side {
    int n = 0, stride = 0;
    std::vector<float> rows, columns;

    void reset(int n_rows) {
        n = n_rows;
        stride = (n + 2 * kLanes + kLanes - 1) / kLanes * kLanes;
        rows.assign(size_t(n) * kDim, 0.0f);
        columns.assign(size_t(stride) * kDim, 0.0f);
    }
    void transpose() {
        for (int r = 0; r < n; ++r)
            for (int d = 0; d < kDim; ++d)
                columns[size_t(d) * stride + r] = rows[size_t(r) * kDim + d];
    }
};

inline void turn(float* row, const float* cosines, const float* sines, float scale, float sign) {
    for (int i = 0; i < kHalf; ++i) {
        const float a = row[2 * i], b = row[2 * i + 1], s = sign * sines[i];
        row[2 * i] = (a * cosines[i] - b * s) * scale;
        row[2 * i + 1] = (a * s + b * cosines[i]) * scale;
    }
}

// out[r][0..n) = a[r] . column, for 8 rows and the columns from `columns` on. Writes up to 31 more.
inline void products(const float (*a)[kDim], const float* columns, int stride, int n, float* out,
                     int out_stride) {
    for (int j = 0; j < n; j += 2 * kLanes) {
        Lanes one[kBlock] = {}, two[kBlock] = {};
        for (int d = 0; d < kDim; ++d) {
            const Lanes x = load(columns + size_t(d) * stride + j);
            const Lanes y = load(columns + size_t(d) * stride + j + kLanes);
            for (int r = 0; r < kBlock; ++r) {
                one[r] += a[r][d] * x;
                two[r] += a[r][d] * y;
            }
        }
        for (int r = 0; r < kBlock; ++r) {
            store(out + size_t(r) * out_stride + j, one[r]);
            store(out + size_t(r) * out_stride + j + kLanes, two[r]);
        }
    }
}

// sum[r] += weights[r][j] * rows[j]
inline void gather(const float* weights, int stride, const float* rows, int n, float (*sum)[kDim]) {
    Lanes one[kBlock], two[kBlock];
    for (int r = 0; r < kBlock; ++r) {
        one[r] = load(sum[r]);
        two[r] = load(sum[r] + kLanes);
    }
    for (int j = 0; j < n; ++j) {
        const Lanes x = load(rows + size_t(j) * kDim), y = load(rows + size_t(j) * kDim + kLanes);
        for (int r = 0; r < kBlock; ++r) {
            const float w = weights[size_t(r) * stride + j];
            one[r] += w * x;
            two[r] += w * y;
        }
    }
    for (int r = 0; r < kBlock; ++r) {
        store(sum[r], one[r]);
        store(sum[r] + kLanes, two[r]);
    }
}

// rows[j] += weights[r][j] * a[r]
inline void scatter(const float* weights, int stride, const float (*a)[kDim], int n, float* rows) {
    Lanes one[kBlock], two[kBlock];
    for (int r = 0; r < kBlock; ++r) {
        one[r] = load(a[r]);
        two[r] = load(a[r] + kLanes);
    }
    for (int j = 0; j < n; ++j) {
        Lanes x = load(rows + size_t(j) * kDim), y = load(rows + size_t(j) * kDim + kLanes);
        for (int r = 0; r < kBlock; ++r) {
            const float w = weights[size_t(r) * stride + j];
            x += w * one[r];
            y += w * two[r];
        }
        store(rows + size_t(j) * kDim, x);
        store(rows + size_t(j) * kDim + kLanes, y);
    }
}

// Up to 8 rows of a prompt and the columns that they see: the first `doc`, and their own part's
// from `own` on, up to each row itself.
struct Rows {
    int begin, n, doc, own;

    int own_end() const { return begin + n; }
    int tail() const { return (doc + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes); }
};

template <typename Do>
void each_block(const PromptRows& prompt, const int32_t* lengths, Do run) {
    for (int r = 0; r < prompt.n_doc; r += kBlock)
        run(Rows{r, std::min(kBlock, prompt.n_doc - r), 0, 0});
    int at = prompt.n_doc;
    for (int i = 0; i < prompt.n_questions; ++i) {
        const int end = at + lengths[prompt.question + i];
        for (int r = at; r < end; r += kBlock)
            run(Rows{r, std::min(kBlock, end - r), prompt.n_doc, at});
        at = end;
    }
}

int n_rows(const PromptRows& prompt, const int32_t* lengths) {
    int n = prompt.n_doc;
    for (int i = 0; i < prompt.n_questions; ++i) n += lengths[prompt.question + i];
    return n;
}

template <typename T>
struct Attention {
    Heads heads;
    const T* qkv;
    const float *cosines, *sines;  // of each row
    const int32_t* lengths;

    void read_head(int row, int column, float* to) const {
        const T* from = qkv + size_t(row) * heads.width() + column;
        for (int d = 0; d < kDim; d += kLanes) store(to + d, read(from + d));
    }
    void read_query(const PromptRows& prompt, const Rows& rows, int head, float (*q)[kDim]) const {
        std::memset(q, 0, sizeof(float) * kBlock * kDim);
        for (int r = 0; r < rows.n; ++r) {
            const int row = prompt.first + rows.begin + r;
            read_head(row, head * kDim, q[r]);
            turn(q[r], cosines + size_t(row) * kHalf, sines + size_t(row) * kHalf,
                 1 / std::sqrt(float(kDim)), 1);
        }
    }
    void read_sides(const PromptRows& prompt, int kv, Side& k, Side& v) const {
        const int n = n_rows(prompt, lengths);
        k.reset(n);
        v.reset(n);
        for (int r = 0; r < n; ++r) {
            const int row = prompt.first + r;
            read_head(row, (heads.n_head + kv) * kDim, &k.rows[size_t(r) * kDim]);
            read_head(row, (heads.n_head + heads.n_head_kv + kv) * kDim, &v.rows[size_t(r) * kDim]);
            turn(&k.rows[size_t(r) * kDim], cosines + size_t(row) * kHalf,
                 sines + size_t(row) * kHalf, 1, 1);
        }
        k.transpose();
        v.transpose();
    }
    // Products of the rows with all columns that any of them sees; the document's first.
    static void both_products(const float (*a)[kDim], const Side& side, const Rows& rows,
                              float* out, int stride) {
        products(a, side.columns.data(), side.stride, rows.doc, out, stride);
        products(a, side.columns.data() + rows.own, side.stride, rows.own_end() - rows.own,
                 out + rows.tail(), stride);
    }
    // -inf where a row does not see: behind the document's columns and behind the row itself.
    static void hide(const Rows& rows, float* scores, int stride) {
        const int own = (rows.own_end() - rows.own + kLanes - 1) / kLanes * kLanes;
        for (int r = 0; r < kBlock; ++r) {
            float* row = scores + size_t(r) * stride;
            std::fill(row + rows.doc, row + rows.tail(), -INFINITY);
            const int seen = std::min(rows.begin + r, rows.own_end() - 1) + 1 - rows.own;
            std::fill(row + rows.tail() + seen, row + rows.tail() + own, -INFINITY);
        }
    }
    static int width(const Rows& rows) {
        return rows.tail() + (rows.own_end() - rows.own + kLanes - 1) / kLanes * kLanes;
    }
};

}  // namespace
