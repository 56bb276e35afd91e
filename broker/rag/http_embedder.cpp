#include "broker/rag/http_embedder.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "broker/http/client.h"
#include "broker/http/url.h"
#include "broker/rag/document_builder.h"
#include "broker/wire/embeddings.h"
#include "index/lines.h"
#include "index/unit_vector.h"

namespace spolia {
namespace {

using std::chrono::milliseconds;

// Changes whenever what is sent of a text does.
constexpr std::string_view kRecipe = "spolia http embedding 1";
constexpr size_t kTextBytesMax = 8192;
// Of a request.
constexpr size_t kTextsMax = 64;
constexpr size_t kBytesMax = size_t{128} << 10;
constexpr uint64_t kReplyBytesMax = uint64_t{128} << 20;
constexpr milliseconds kFirstWait{500};

// Seconds; nullopt where there is no header, or a date.
std::optional<milliseconds> retry_after(const HttpReply& reply) {
    int64_t seconds = 0;
    const char* end = reply.retry_after.data() + reply.retry_after.size();
    const auto [rest, error] = std::from_chars(reply.retry_after.data(), end, seconds);
    constexpr int64_t kSecondsMax = 1'000'000;
    if (error != std::errc{} || rest != end || seconds < 0) return std::nullopt;
    return std::chrono::seconds(std::min(seconds, kSecondsMax));
}

class HttpEmbedder final : public TextEmbedder {
public:
    HttpEmbedder(HttpEmbedderOptions options, HttpUrl url)
        : options_(std::move(options)),
          url_(std::move(url)),
          client_(url_.host, url_.port, options_.timeout, kReplyBytesMax) {
        client_.set_bearer(options_.api_key);
    }

    Status open() {
        const std::string_view text = "dimensions";
        const Result<std::vector<float>> vector = request({&text, 1});
        if (!vector.ok()) return vector.error();
        n_dims_ = static_cast<int32_t>(vector->size());
        fingerprint_ = hash_text(std::string(kRecipe) + '\0' + url_.text() + '\0' + options_.model +
                                 '\0' + std::to_string(n_dims_));
        return {};
    }

    int32_t n_dims() const override { return n_dims_; }
    Key128 fingerprint() const override { return fingerprint_; }

    Result<std::vector<float>> embed(std::span<const std::string_view> texts) const override {
        std::vector<float> vectors(texts.size() * static_cast<size_t>(n_dims_));
        for (size_t begin = 0; begin < texts.size();) {
            std::vector<std::string_view> batch;
            std::vector<size_t> places;  // of the batch's texts
            size_t end = begin, n_bytes = 0;
            for (; end < texts.size() && batch.size() < kTextsMax; ++end) {
                const std::string_view text = utf8_prefix(texts[end], kTextBytesMax);
                if (trim_spaces(text).empty()) continue;
                if (n_bytes + text.size() > kBytesMax) break;
                n_bytes += text.size();
                batch.push_back(text);
                places.push_back(end);
            }
            if (Status done = embed(batch, places, vectors); !done.ok()) return done.error();
            begin = end;
        }
        return vectors;
    }

private:
    Status embed(std::span<const std::string_view> batch, std::span<const size_t> places,
                 std::span<float> vectors) const {
        if (batch.empty()) return {};
        const Result<std::vector<float>> some = request(batch);
        if (!some.ok()) return some.error();
        const auto n_dims = static_cast<size_t>(n_dims_);
        for (size_t i = 0; i < places.size(); ++i) {
            const std::span<float> vector = vectors.subspan(places[i] * n_dims, n_dims);
            std::copy_n(some->begin() + static_cast<ptrdiff_t>(i * n_dims), n_dims, vector.begin());
            make_unit(vector);
        }
        return {};
    }

    // The vectors as the server gives them.
    Result<std::vector<float>> request(std::span<const std::string_view> texts) const {
        const std::string body = embeddings_body(options_.model, texts);
        milliseconds wait = kFirstWait;
        for (int32_t attempt = 1;; ++attempt, wait *= 2) {
            const Result<HttpReply> reply = client_.call("POST", url_.path, body);
            if (!reply.ok()) return failure(reply.error().code, reply.error().message);
            if (reply->status == 200) {
                Result<std::vector<float>> vectors =
                    parse_embeddings(reply->body, texts.size(), static_cast<size_t>(n_dims_));
                if (vectors.ok()) return vectors;
                return failure(vectors.error().code, vectors.error().message);
            }
            const bool busy = reply->status == 429 || reply->status == 503;
            const milliseconds next =
                retry_after(*reply).value_or(std::min(wait, options_.wait_max));
            if (!busy || attempt >= options_.attempts_max || next > options_.wait_max) {
                return refusal(*reply, busy, attempt);
            }
            options_.wait ? options_.wait(next) : std::this_thread::sleep_for(next);
        }
    }

    Error failure(ErrorCode code, const std::string& why) const {
        return {code, "embedding server " + url_.text() + ": " + why};
    }
    Error refusal(const HttpReply& reply, bool busy, int32_t n_attempts) const {
        std::string why = "status " + std::to_string(reply.status);
        if (n_attempts > 1) why += " after " + std::to_string(n_attempts) + " attempts";
        if (!reply.retry_after.empty()) why += ", retry after " + reply.retry_after;
        why += ": " + failure_text(reply.body);
        if (reply.status == 401 || reply.status == 403) {
            why += options_.api_key.empty()
                       ? "; it was given no key: name the environment variable that holds it"
                       : "; the key it was given does not do";
        }
        return failure(busy ? ErrorCode::kOverloaded : ErrorCode::kIo, why);
    }

    const HttpEmbedderOptions options_;
    const HttpUrl url_;
    HttpClient client_;
    int32_t n_dims_ = 0;  // until it is known, 0
    Key128 fingerprint_;
};

}  // namespace

Result<std::unique_ptr<TextEmbedder>> open_http_embedder(HttpEmbedderOptions options) {
    Result<HttpUrl> url = parse_http_url(options.url);
    if (!url.ok()) return url.error();
    constexpr std::string_view kRoute = "/embeddings";
    if (url->path.empty()) url->path = "/v1";
    if (!url->path.ends_with(kRoute)) url->path += kRoute;
    auto embedder = std::make_unique<HttpEmbedder>(std::move(options), *std::move(url));
    if (Status opened = embedder->open(); !opened.ok()) return opened.error();
    return std::unique_ptr<TextEmbedder>(std::move(embedder));
}

}  // namespace spolia
