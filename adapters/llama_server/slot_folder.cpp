#include "adapters/llama_server/slot_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <system_error>
#include <utility>

#include "index/whole_file.h"

namespace spolia {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBegin = "spolia-";
constexpr std::string_view kEnd = ".bin";

struct RemovedAtEnd {
    fs::path path;
    ~RemovedAtEnd() {
        std::error_code ignored;
        fs::remove(path, ignored);
    }
};

// Process numbers would do for one machine, but not for the containers on it.
std::string random_name() {
    std::random_device random;
    char text[17];
    std::snprintf(text, sizeof text, "%08x%08x", random(), random());
    return text;
}

void remove_ours(const fs::path& folder) {
    std::error_code error;
    for (fs::directory_iterator each(folder, error), end; !error && each != end;
         each.increment(error)) {
        const std::string name = each->path().filename().string();
        std::error_code ignored;
        if (name.starts_with(kBegin) && name.ends_with(kEnd)) fs::remove(each->path(), ignored);
    }
}

}  // namespace

SlotFolder::SlotFolder(fs::path path, UniqueFd lock)
    : path_(std::move(path)), lock_(std::move(lock)), owner_(random_name()) {}

Result<std::unique_ptr<SlotFolder>> SlotFolder::open(fs::path path) {
    UniqueFd lock(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!lock.valid()) {
        return Error{ErrorCode::kNotFound,
                     "can't open the folder " + path.string() + ": " + std::strerror(errno) +
                         "; make it, and name it with --slot-dir here and with --slot-save-path "
                         "for llama-server"};
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) remove_ours(path);
    ::flock(lock.get(), LOCK_SH);
    return std::unique_ptr<SlotFolder>(new SlotFolder(std::move(path), std::move(lock)));
}

std::string SlotFolder::new_name(std::string_view what) {
    return std::string(kBegin) + owner_ + '-' + std::to_string(n_names_++) + '-' +
           std::string(what) + std::string(kEnd);
}

Result<std::string> SlotFolder::save(const LlamaServerClient& server, int32_t slot) {
    const std::string name = new_name("saved");
    const RemovedAtEnd file{path_ / name};
    if (const Status saved = server.save_slot(slot, name); !saved) {
        const Error& error = saved.error();
        return Error{error.code,
                     error.message + "; start it with --slot-save-path " + path_.string() + "/"};
    }
    std::optional<std::string> bytes = read_whole_file(file.path);
    if (bytes) return *std::move(bytes);
    return Error{ErrorCode::kNotFound,
                 "llama-server did not save its slot in " + path_.string() +
                     "; give spolia's --slot-dir and the server's --slot-save-path the same "
                     "folder, which both may read and write"};
}

}  // namespace spolia
