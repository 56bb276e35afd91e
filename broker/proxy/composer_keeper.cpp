#include "broker/proxy/composer_keeper.h"

#include <optional>
#include <utility>

#include "broker/log.h"

namespace spolia {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr seconds kSlotWait{1};     // for a slot to check the server with
constexpr seconds kPause{2};        // between looks at it
constexpr seconds kCheckAgain{60};  // before it is checked again where it does not take slots

bool same_server(const ServerProps& a, const ServerProps& b) {
    return a.build == b.build && a.model_path == b.model_path && a.n_ctx == b.n_ctx;
}

}  // namespace

ComposerKeeper::ComposerKeeper(const LlamaServerClient& server, const ServerProps& props,
                               Service* service, std::filesystem::path slot_directory,
                               SlotState& state)
    : server_(server),
      props_(props),
      service_(service),
      slot_directory_(std::move(slot_directory)),
      state_(state),
      work_("looking at the llama-server", kPause,
            [this](const std::stop_token& stop) { look(stop); }) {}

std::shared_ptr<SlotComposer> ComposerKeeper::composer() const {
    const MutexLock lock(mutex_);
    return state_.suspect ? nullptr : composer_;
}

std::shared_ptr<SlotFolder> ComposerKeeper::folder() const {
    const MutexLock lock(mutex_);
    return folder_;
}

void ComposerKeeper::look(const std::stop_token& stop) {
    const Result<ServerProps> props = server_.props();
    answers_ = props.ok();
    if (!props || !same_server(*props, props_)) state_.suspect = true;
    if (!props) return;
    if (state_.suspect) {
        {
            const MutexLock lock(mutex_);
            composer_ = nullptr;
        }
        // What makes it suspect again from here on is for the next look.
        state_.suspect = false;
        state_.table.forget_all();
        next_try_ = {};
    }
    const bool wanted = service_ != nullptr && composer() == nullptr;
    if (!wanted || steady_clock::now() < next_try_) return;
    const Status opened = try_open(*props, stop);
    if (opened) {
        last_failure_.clear();
        return;
    }
    const Error& error = opened.error();
    const bool passes = error.code == ErrorCode::kIo || error.code == ErrorCode::kOverloaded;
    next_try_ = steady_clock::now() + (passes ? kPause : kCheckAgain);
    if (error.message == last_failure_ || stop.stop_requested()) return;
    last_failure_ = error.message;
    log_event(LogLevel::kWarning, "prompts are left to the llama-server: " + error.message);
}

Result<std::shared_ptr<SlotFolder>> ComposerKeeper::open_folder() {
    if (std::shared_ptr<SlotFolder> folder = this->folder()) return folder;
    Result<std::unique_ptr<SlotFolder>> opened = SlotFolder::open(slot_directory_);
    if (!opened) return opened.error();
    const MutexLock lock(mutex_);
    folder_ = *std::move(opened);
    return folder_;
}

Status ComposerKeeper::try_open(const ServerProps& props, const std::stop_token& stop) {
    if (props.n_slots != props_.n_slots) {
        return Error{ErrorCode::kUnsupported, "it has another number of slots now; restart spolia"};
    }
    const Result<std::shared_ptr<SlotFolder>> folder = open_folder();
    if (!folder) return folder.error();
    std::optional<SlotLease> slot =
        state_.table.take({}, {}, steady_clock::now() + kSlotWait, stop);
    if (!slot || !slot->begin_fill())
        return Error{ErrorCode::kOverloaded, "all of its slots are busy"};
    Result<std::unique_ptr<SlotComposer>> opened =
        SlotComposer::open(*service_, server_, props, **folder, slot->slot(), stop);
    if (!opened) return opened.error();
    log_event(LogLevel::kInfo, "prompts are put into the llama-server's slots",
              {{"build", props.build},
               {"slots", int64_t{props.n_slots}},
               {"directory", slot_directory_.string()}});
    const MutexLock lock(mutex_);
    composer_ = *std::move(opened);
    return {};
}

}  // namespace spolia
