#include "index/vector_memory.h"

#include <cerrno>
#include <cstdlib>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "index/aligned_array.h"
#include "index/unique_fd.h"

namespace spolia {
namespace {

// Not valid where there can be none; errno tells why.
UniqueFd open_unnamed(const std::filesystem::path& directory) {
    UniqueFd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (file.valid()) return file;
    // Not every file system has files without a name.
    std::string name = (directory / "vectors.XXXXXX").string();
    UniqueFd named(::mkostemp(name.data(), O_CLOEXEC));
    if (named.valid()) ::unlink(name.c_str());
    return named;
}

}  // namespace

void VectorMemory::Release::operator()(float* floats) const {
    if (in_file_) {
        ::munmap(floats, n_bytes_);
        memory_->bytes_in_files_ -= n_bytes_;
    } else {
        std::free(floats);
        memory_->bytes_in_memory_ -= n_bytes_;
    }
}

Result<VectorMemory::Floats> VectorMemory::take(size_t n) {
    Release release;
    release.memory_ = this;
    release.n_bytes_ = n * sizeof(float);
    release.in_file_ = !count_in_memory(release.n_bytes_);
    if (!release.in_file_) {
        try {
            return Floats(static_cast<float*>(allocate_aligned(release.n_bytes_)), release);
        } catch (const std::bad_alloc&) {
            bytes_in_memory_ -= release.n_bytes_;
            return Error{ErrorCode::kOutOfMemory, "no memory for more vectors"};
        }
    }
    Result<float*> floats = map_file(release.n_bytes_);
    if (!floats) return floats.error();
    bytes_in_files_ += release.n_bytes_;
    return Floats(*floats, release);
}

bool VectorMemory::count_in_memory(uint64_t n_bytes) {
    uint64_t used = bytes_in_memory_;
    do {
        if (used > bytes_max_ || n_bytes > bytes_max_ - used) return false;
    } while (!bytes_in_memory_.compare_exchange_weak(used, used + n_bytes));
    return true;
}

Result<float*> VectorMemory::map_file(size_t n_bytes) const {
    if (directory_.empty()) {
        return Error{ErrorCode::kOutOfMemory,
                     "the index of vectors has no more room: it may take " +
                         std::to_string(bytes_max_) + " bytes of memory and has no place on disk"};
    }
    const auto failed = [this](int error) {
        return Error{ErrorCode::kIo, "can't keep vectors in " + directory_.string() + ": " +
                                         std::generic_category().message(error)};
    };
    std::error_code made;
    std::filesystem::create_directories(directory_, made);
    const UniqueFd file = open_unnamed(directory_);
    if (!file.valid()) return failed(errno);
    // A write to a page that the disk has no room for would end the process.
    const int full = ::posix_fallocate(file.get(), 0, static_cast<off_t>(n_bytes));
    if (full != 0) return failed(full);
    void* floats = ::mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (floats == MAP_FAILED) return failed(errno);
    ::madvise(floats, n_bytes, MADV_RANDOM);
    return static_cast<float*>(floats);
}

}  // namespace spolia
