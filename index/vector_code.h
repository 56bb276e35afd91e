#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace spolia {

// A vector in a byte a number: what searches compare first, for they wait for memory more than they
// compute. Each number is rounded to a 127th of the largest one of its vector, so that inner
// products are off by some thousandths. Vectors are of length 1, or all zeros.
//
// Laid out as the bytes (signed), zeros up to a multiple of 64, then what a byte of 1 stands for
// (float), the sum of the bytes (i32), the vector's length and that of what rounding took from it
// (floats), and nothing up to a multiple of 64.

size_t code_bytes(size_t n_dims);
// `code` takes code_bytes(vector.size()) bytes.
void encode_vector(std::span<const float> vector, int8_t* code);
// Of the vectors that two codes stand for, with the widest instructions that the processor has. It
// is the same on all processors.
float code_inner_product(const int8_t* a, const int8_t* b, size_t n_dims);
// No less than the inner product of the vectors that the codes were made from.
float inner_product_max(const int8_t* a, const int8_t* b, size_t n_dims);

// Sums of products of bytes, those that code_inner_product() chooses among. `n` is a multiple of
// 64; `b_sum` is the sum of b's. The named ones are for processors that have them.
int32_t byte_product_plain(const int8_t* a, const int8_t* b, size_t n, int32_t b_sum);
#if defined(__x86_64__)
int32_t byte_product_avx2(const int8_t* a, const int8_t* b, size_t n, int32_t b_sum);
int32_t byte_product_vnni(const int8_t* a, const int8_t* b, size_t n, int32_t b_sum);  // AVX-512
#endif

}  // namespace spolia
