#include <memory>
#include <optional>

#include "broker/http/handlers.h"
#include "broker/wire/chunk_requests.h"
#include "index/thread_annotations.h"

namespace spolia {
namespace {

// Waits for all texts of one request. The first failure is the answer; the other texts stay
// registered, and the same request again finds them there.
class PutGathering {
public:
    PutGathering(size_t n_texts, std::function<void(HttpResponse)> finish)
        : chunks_(n_texts), n_missing_(n_texts), finish_(std::move(finish)) {}

    void take(size_t index, Result<std::vector<ChunkInfo>> result) {
        {
            const MutexLock lock(mutex_);
            if (result.ok())
                chunks_[index] = *std::move(result);
            else if (!failure_)
                failure_ = std::move(result).error();
            if (--n_missing_ > 0) return;
        }
        finish_(response());
    }

private:
    HttpResponse response() {
        const MutexLock lock(mutex_);
        if (failure_) return error_response(api_error(*failure_));
        std::vector<ChunkInfo> all;
        for (const std::vector<ChunkInfo>& part : chunks_) {
            all.insert(all.end(), part.begin(), part.end());
        }
        return json_response(chunk_list_json(all));
    }

    Mutex mutex_;
    std::vector<std::vector<ChunkInfo>> chunks_ GUARDED_BY(mutex_);  // in the texts' order
    size_t n_missing_ GUARDED_BY(mutex_);
    std::optional<Error> failure_ GUARDED_BY(mutex_);
    const std::function<void(HttpResponse)> finish_;
};

HttpResponse not_a_key(std::string_view text) {
    return error_response(
        bad_request("'" + std::string(text) + "' is no chunk key: 32 hexadecimal digits", "key"));
}

}  // namespace

Reply handle_put_chunks(const HandlerContext& context) {
    Parsed<PutChunks> put = parse_put_chunks(context.request.body, context.limits);
    if (!put.ok()) return error_response(put.error());
    const std::string salt = tenant_salt(context.tenant, put->cache_salt);
    Deferred deferred;
    deferred.start = [&service = context.service, salt, put = std::move(*put)](
                         Deferred::Finish finish, const std::stop_token&) {
        const auto gathering = std::make_shared<PutGathering>(put.texts.size(), std::move(finish));
        for (size_t i = 0; i < put.texts.size(); ++i) {
            service.put_chunk(salt, put.name, put.texts[i],
                              [gathering, i](Result<std::vector<ChunkInfo>> result) {
                                  gathering->take(i, std::move(result));
                              });
        }
    };
    return deferred;
}

Reply handle_list_chunks(const HandlerContext& context) {
    return json_response(chunk_list_json(context.service.list_chunks(salt_of(context))));
}

Reply handle_get_chunk(const HandlerContext& context) {
    const std::optional<Key128> key = Key128::from_hex(context.tail);
    if (!key) return not_a_key(context.tail);
    const Result<ChunkInfo> chunk = context.service.get_chunk(salt_of(context), *key);
    if (!chunk.ok()) return error_response(api_error(chunk.error()));
    return json_response(chunk_json(*chunk));
}

Reply handle_delete_chunk(const HandlerContext& context) {
    const std::optional<Key128> key = Key128::from_hex(context.tail);
    if (!key) return not_a_key(context.tail);
    if (!context.service.delete_chunk(salt_of(context), *key)) {
        return error_response(ApiError{404, "there is no chunk " + key->hex(), "not_found_error",
                                       "key", "not_found"});
    }
    return json_response(chunk_deleted_json(*key));
}

}  // namespace spolia
