// The parts of a training step that are slow as single operations of PyTorch's on a CPU: attention
// within prompts, norms and gates, each with its gradient. T is float, or bfloat16 as bits.
//
// A prompt is n_doc rows that attend causally, then questions, each of which sees those rows and
// its own rows before. q, k and v of a row stand behind each other in one row of `qkv`.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int kDim = 32;  // of a head
constexpr int kHalf = kDim / 2;
constexpr int kBlock = 8;  // rows that share a pass over their columns
constexpr int kLanes = 16;

typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef float LanesAnywhere __attribute__((vector_size(4 * kLanes), aligned(4)));
typedef int32_t IntLanes __attribute__((vector_size(4 * kLanes)));
typedef uint32_t WordLanes __attribute__((vector_size(4 * kLanes)));
typedef uint16_t HalfLanes __attribute__((vector_size(2 * kLanes)));
typedef uint16_t HalfLanesAnywhere __attribute__((vector_size(2 * kLanes), aligned(2)));

inline Lanes load(const float* at) { return *reinterpret_cast<const LanesAnywhere*>(at); }
inline void store(float* at, Lanes value) { *reinterpret_cast<LanesAnywhere*>(at) = value; }

// 16 numbers from and to memory, where they are of type float or bfloat16.
inline Lanes read(const float* at) { return load(at); }
inline Lanes read(const uint16_t* at) {
    const HalfLanes bits = *reinterpret_cast<const HalfLanesAnywhere*>(at);
    return (Lanes)(__builtin_convertvector(bits, WordLanes) << 16);
}
inline void write(float* at, Lanes value) { store(at, value); }
inline void write(uint16_t* at, Lanes value) {
    const WordLanes bits = (WordLanes)value;
    const WordLanes rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    *reinterpret_cast<HalfLanesAnywhere*>(at) = __builtin_convertvector(rounded, HalfLanes);
}
inline float sum(Lanes value) {
    float total = 0;
    for (int i = 0; i < kLanes; ++i) total += value[i];
    return total;
}

// e^x for x <= 0, to about 1e-7; 0 for x < -87.
inline Lanes exponential(Lanes x) {
    const Lanes scaled = x * 1.44269504f;
    const Lanes low = Lanes{} - 126.0f;
    const Lanes t = scaled < low ? low : scaled;
    const IntLanes n = __builtin_convertvector(t - 0.5f, IntLanes);
    const Lanes f = t - __builtin_convertvector(n, Lanes);
    Lanes p = f * 1.5403530e-4f + 1.3333558e-3f;
    p = p * f + 9.6181291e-3f;
    p = p * f + 5.5504109e-2f;
    p = p * f + 2.4022651e-1f;
    p = p * f + 6.9314718e-1f;
    p = p * f + 1.0f;
    const IntLanes bits = (n + 127) << 23;
    return scaled < low ? Lanes{} : p * (Lanes)bits;
}

struct Heads {
    int n_head, n_head_kv;
    int width() const { return (n_head + 2 * n_head_kv) * kDim; }
};

struct Prompt {
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
void each_block(const Prompt& prompt, const int32_t* lengths, Do run) {
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

int n_rows(const Prompt& prompt, const int32_t* lengths) {
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
    void read_query(const Prompt& prompt, const Rows& rows, int head, float (*q)[kDim]) const {
        std::memset(q, 0, sizeof(float) * kBlock * kDim);
        for (int r = 0; r < rows.n; ++r) {
            const int row = prompt.first + rows.begin + r;
            read_head(row, head * kDim, q[r]);
            turn(q[r], cosines + size_t(row) * kHalf, sines + size_t(row) * kHalf,
                 1 / std::sqrt(float(kDim)), 1);
        }
    }
    void read_sides(const Prompt& prompt, int kv, Side& k, Side& v) const {
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

template <typename T>
void attention_forward(Attention<T> in, const Prompt& prompt, T* out, float* log_sums) {
    Side k, v;
    std::vector<float> scores;
    for (int kv = 0; kv < in.heads.n_head_kv; ++kv) {
        in.read_sides(prompt, kv, k, v);
        const int stride = k.stride + 4 * kLanes;
        scores.resize(size_t(kBlock) * stride);
        const int group = in.heads.n_head / in.heads.n_head_kv;
        for (int head = kv * group; head < (kv + 1) * group; ++head) {
            each_block(prompt, in.lengths, [&](const Rows& rows) {
                float q[kBlock][kDim], mixed[kBlock][kDim] = {};
                in.read_query(prompt, rows, head, q);
                in.both_products(q, k, rows, scores.data(), stride);
                in.hide(rows, scores.data(), stride);
                float total[kBlock];
                for (int r = 0; r < kBlock; ++r) {
                    float* s = scores.data() + size_t(r) * stride;
                    Lanes top = load(s);
                    for (int j = kLanes; j < in.width(rows); j += kLanes) {
                        const Lanes x = load(s + j);
                        top = x > top ? x : top;
                    }
                    float highest = top[0];
                    for (int i = 1; i < kLanes; ++i) highest = std::max(highest, top[i]);
                    Lanes sums = {};
                    for (int j = 0; j < in.width(rows); j += kLanes) {
                        const Lanes p = exponential(load(s + j) - highest);
                        store(s + j, p);
                        sums += p;
                    }
                    total[r] = sum(sums);
                    if (r < rows.n)
                        log_sums[size_t(prompt.first + rows.begin + r) * in.heads.n_head + head] =
                            highest + std::log(total[r]);
                }
                gather(scores.data(), stride, v.rows.data(), rows.doc, mixed);
                gather(scores.data() + rows.tail(), stride, v.rows.data() + size_t(rows.own) * kDim,
                       rows.own_end() - rows.own, mixed);
                for (int r = 0; r < rows.n; ++r) {
                    T* to = out +
                            (size_t(prompt.first + rows.begin + r) * in.heads.n_head + head) * kDim;
                    for (int d = 0; d < kDim; d += kLanes)
                        write(to + d, load(mixed[r] + d) / total[r]);
                }
            });
        }
    }
}

template <typename T>
void attention_backward(Attention<T> in, const Prompt& prompt, const T* out, const float* log_sums,
                        const T* grad_out, T* grad) {
    Side k, v;
    std::vector<float> p, dp, grad_k, grad_v;
    const int width = in.heads.width();
    for (int kv = 0; kv < in.heads.n_head_kv; ++kv) {
        in.read_sides(prompt, kv, k, v);
        grad_k.assign(size_t(k.n) * kDim, 0.0f);
        grad_v.assign(size_t(k.n) * kDim, 0.0f);
        const int stride = k.stride + 4 * kLanes;
        p.resize(size_t(kBlock) * stride);
        dp.resize(size_t(kBlock) * stride);
        const int group = in.heads.n_head / in.heads.n_head_kv;
        for (int head = kv * group; head < (kv + 1) * group; ++head) {
            each_block(prompt, in.lengths, [&](const Rows& rows) {
                float q[kBlock][kDim], g[kBlock][kDim] = {}, dq[kBlock][kDim] = {};
                in.read_query(prompt, rows, head, q);
                float mean[kBlock] = {}, log_sum[kBlock];
                std::fill(log_sum, log_sum + kBlock, INFINITY);
                for (int r = 0; r < rows.n; ++r) {
                    const size_t row =
                        size_t(prompt.first + rows.begin + r) * in.heads.n_head + head;
                    for (int d = 0; d < kDim; d += kLanes) {
                        const Lanes of_row = read(grad_out + row * kDim + d);
                        store(g[r] + d, of_row);
                        mean[r] += sum(of_row * read(out + row * kDim + d));
                    }
                    log_sum[r] = log_sums[row];
                }
                in.both_products(q, k, rows, p.data(), stride);
                in.hide(rows, p.data(), stride);
                in.both_products(g, v, rows, dp.data(), stride);
                for (int r = 0; r < kBlock; ++r) {
                    float *s = p.data() + size_t(r) * stride, *t = dp.data() + size_t(r) * stride;
                    for (int j = 0; j < in.width(rows); j += kLanes) {
                        const Lanes e = exponential(load(s + j) - log_sum[r]);
                        store(s + j, e);
                        store(t + j, e * (load(t + j) - mean[r]));
                    }
                }
                const int own = rows.own_end() - rows.own;
                const size_t own_at = size_t(rows.own) * kDim;
                scatter(p.data(), stride, g, rows.doc, grad_v.data());
                scatter(p.data() + rows.tail(), stride, g, own, grad_v.data() + own_at);
                scatter(dp.data(), stride, q, rows.doc, grad_k.data());
                scatter(dp.data() + rows.tail(), stride, q, own, grad_k.data() + own_at);
                gather(dp.data(), stride, k.rows.data(), rows.doc, dq);
                gather(dp.data() + rows.tail(), stride, k.rows.data() + own_at, own, dq);
                for (int r = 0; r < rows.n; ++r) {
                    const int row = prompt.first + rows.begin + r;
                    turn(dq[r], in.cosines + size_t(row) * kHalf, in.sines + size_t(row) * kHalf,
                         1 / std::sqrt(float(kDim)), -1);
                    T* to = grad + size_t(row) * width + head * kDim;
                    for (int d = 0; d < kDim; d += kLanes) write(to + d, load(dq[r] + d));
                }
            });
        }
        for (int r = 0; r < k.n; ++r) {
            const int row = prompt.first + r;
            float* dk = &grad_k[size_t(r) * kDim];
            turn(dk, in.cosines + size_t(row) * kHalf, in.sines + size_t(row) * kHalf, 1, -1);
            T* to = grad + size_t(row) * width + (in.heads.n_head + kv) * kDim;
            for (int d = 0; d < kDim; d += kLanes) {
                write(to + d, load(dk + d));
                write(to + in.heads.n_head_kv * kDim + d, load(&grad_v[size_t(r) * kDim + d]));
            }
        }
    }
}

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

inline Lanes sigmoid(Lanes x) {
    const Lanes e = exponential(x < 0 ? x : -x);
    return (x < 0 ? e : Lanes{} + 1.0f) / (1.0f + e);
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

template <typename T>
void all_forward(const void* qkv, const float* cosines, const float* sines, const int32_t* prompts,
                 int n_prompts, const int32_t* lengths, int n_head, int n_head_kv, void* out,
                 float* log_sums) {
    const Attention<T> in{{n_head, n_head_kv}, static_cast<const T*>(qkv), cosines, sines, lengths};
    const auto* all = reinterpret_cast<const Prompt*>(prompts);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n_prompts; ++i)
        attention_forward(in, all[i], static_cast<T*>(out), log_sums);
}

template <typename T>
void all_backward(const void* qkv, const float* cosines, const float* sines, const int32_t* prompts,
                  int n_prompts, const int32_t* lengths, int n_head, int n_head_kv, const void* out,
                  const float* log_sums, const void* grad_out, void* grad) {
    const Attention<T> in{{n_head, n_head_kv}, static_cast<const T*>(qkv), cosines, sines, lengths};
    const auto* all = reinterpret_cast<const Prompt*>(prompts);
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < n_prompts; ++i)
        attention_backward(in, all[i], static_cast<const T*>(out), log_sums,
                           static_cast<const T*>(grad_out), static_cast<T*>(grad));
}

}  // namespace

#define EXPORT(NAME, T)                                                                            \
    extern "C" void attention_forward_##NAME(                                                      \
        const void* qkv, const float* c, const float* s, const int32_t* prompts, int n,            \
        const int32_t* lengths, int n_head, int n_head_kv, void* out, float* log_sums) {           \
        all_forward<T>(qkv, c, s, prompts, n, lengths, n_head, n_head_kv, out, log_sums);          \
    }                                                                                              \
    extern "C" void attention_backward_##NAME(                                                     \
        const void* qkv, const float* c, const float* s, const int32_t* prompts, int n,            \
        const int32_t* lengths, int n_head, int n_head_kv, const void* out, const float* log_sums, \
        const void* grad_out, void* grad) {                                                        \
        all_backward<T>(qkv, c, s, prompts, n, lengths, n_head, n_head_kv, out, log_sums,          \
                        grad_out, grad);                                                           \
    }                                                                                              \
    extern "C" void norm_forward_##NAME(const float* x, const float* w, void* y, float* inverse,   \
                                        int64_t rows, int64_t width, float eps) {                  \
        norm_forward(x, w, static_cast<T*>(y), inverse, rows, width, eps);                         \
    }                                                                                              \
    extern "C" void norm_backward_##NAME(const float* x, const float* w, const float* inverse,     \
                                         const void* grad_y, float* grad_x, float* grad_w,         \
                                         int64_t rows, int64_t width) {                            \
        norm_backward(x, w, inverse, static_cast<const T*>(grad_y), grad_x, grad_w, rows, width);  \
    }                                                                                              \
    extern "C" void gate_forward_##NAME(const void* x, void* y, int64_t rows, int64_t width) {     \
        gate_forward(static_cast<const T*>(x), static_cast<T*>(y), rows, width);                   \
    }                                                                                              \
    extern "C" void gate_backward_##NAME(const void* x, const void* grad_y, void* grad_x,          \
                                         int64_t rows, int64_t width) {                            \
        gate_backward(static_cast<const T*>(x), static_cast<const T*>(grad_y),                     \
                      static_cast<T*>(grad_x), rows, width);                                       \
    }

EXPORT(float, float)
EXPORT(bfloat16, uint16_t)
