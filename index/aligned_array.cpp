#include "index/aligned_array.h"

#include <new>

#include <sys/mman.h>

namespace spolia {
namespace {

constexpr size_t kLine = 64;
constexpr size_t kLargePage = size_t{2} << 20;

}  // namespace

void* allocate_aligned(size_t n_bytes) {
    const bool fills_pages = n_bytes >= kLargePage;
    const size_t alignment = fills_pages ? kLargePage : kLine;
    const size_t n_aligned = (n_bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, n_aligned);
    if (memory == nullptr) throw std::bad_alloc();
    // A wish: where the system has none to give, small pages do.
    if (fills_pages) ::madvise(memory, n_aligned, MADV_HUGEPAGE);
    return memory;
}

}  // namespace spolia
