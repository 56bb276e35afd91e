#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <type_traits>

namespace spolia {

struct FreeMemory {
    void operator()(void* memory) const { std::free(memory); }
};

// Numbers in memory that begins on a cache line, of large pages where the array fills some: what
// is read here and there in it is found without a walk over page tables.
template <class T>
requires std::is_arithmetic_v<T>
using AlignedArray = std::unique_ptr<T[], FreeMemory>;

// Not initialized: what is never written takes no memory. Throws std::bad_alloc.
void* allocate_aligned(size_t n_bytes);

template <class T>
AlignedArray<T> make_aligned_array(size_t n) {
    return AlignedArray<T>(static_cast<T*>(allocate_aligned(n * sizeof(T))));
}

}  // namespace spolia
