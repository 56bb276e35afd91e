#pragma once

#include <cstddef>
#include <cstdint>

// 16 numbers at a time. In memory they are float, or bfloat16 as bits (uint16_t).

namespace {

constexpr int kLanes = 16;

typedef float Lanes __attribute__((vector_size(4 * kLanes)));
typedef float LanesAnywhere __attribute__((vector_size(4 * kLanes), aligned(4)));
typedef int32_t IntLanes __attribute__((vector_size(4 * kLanes)));
typedef uint32_t WordLanes __attribute__((vector_size(4 * kLanes)));
typedef uint16_t HalfLanes __attribute__((vector_size(2 * kLanes)));
typedef uint16_t HalfLanesAnywhere __attribute__((vector_size(2 * kLanes), aligned(2)));

inline Lanes load(const float* at) { return *reinterpret_cast<const LanesAnywhere*>(at); }
inline void store(float* at, Lanes value) { *reinterpret_cast<LanesAnywhere*>(at) = value; }

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

inline Lanes sigmoid(Lanes x) {
    const Lanes e = exponential(x < 0 ? x : -x);
    return (x < 0 ? e : Lanes{} + 1.0f) / (1.0f + e);
}

}  // namespace
