#pragma once

#include <cstddef>

namespace spolia {

// Of two vectors of n floats, with the widest instructions that the processor has. These sum in
// another order than each other: results differ in the last bits between processors.
float inner_product(const float* a, const float* b, size_t n);

// Those that inner_product() chooses among; the named ones for processors that have them.
float inner_product_plain(const float* a, const float* b, size_t n);
#if defined(__x86_64__)
float inner_product_avx2(const float* a, const float* b, size_t n);  // and FMA
float inner_product_avx512(const float* a, const float* b, size_t n);
#endif

}  // namespace spolia
