#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <stop_token>
#include <string>

#include "adapters/llama_server/server_client.h"
#include "adapters/llama_server/slot_folder.h"
#include "broker/proxy/slot_composer.h"
#include "broker/proxy/slot_watch.h"
#include "broker/repeated_work.h"
#include "broker/service.h"
#include "index/thread_annotations.h"

namespace spolia {

// Looks at a llama-server again and again, on a thread of its own, and checks whether it takes what
// is composed whenever it may be another one than before.
class ComposerKeeper {
public:
    // `props` are those of the server that `service` was opened for; without one (null) it is only
    // looked at. All of them outlive this.
    ComposerKeeper(const LlamaServerClient& server, const ServerProps& props, Service* service,
                   std::filesystem::path slot_directory, SlotState& state);

    // Null while the server takes nothing, or is not known to be the same one.
    std::shared_ptr<SlotComposer> composer() const EXCLUDES(mutex_);
    // Null until it could be opened.
    std::shared_ptr<SlotFolder> folder() const EXCLUDES(mutex_);
    // Whether the server answered when it was last looked at.
    bool server_answers() const { return answers_; }

private:
    void look(const std::stop_token& stop) EXCLUDES(mutex_);
    Status try_open(const ServerProps& props, const std::stop_token& stop) EXCLUDES(mutex_);
    Result<std::shared_ptr<SlotFolder>> open_folder() EXCLUDES(mutex_);

    const LlamaServerClient& server_;
    const ServerProps& props_;
    Service* const service_;
    const std::filesystem::path slot_directory_;
    SlotState& state_;

    std::atomic<bool> answers_ = false;
    mutable Mutex mutex_;
    std::shared_ptr<SlotFolder> folder_ GUARDED_BY(mutex_);
    std::shared_ptr<SlotComposer> composer_ GUARDED_BY(mutex_);

    // Of the thread.
    std::chrono::steady_clock::time_point next_try_;  // not before
    std::string last_failure_;                        // is logged once
    RepeatedWork work_;
};

}  // namespace spolia
