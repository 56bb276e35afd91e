#include "broker/core/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string_view>

#include "index/thread_annotations.h"

namespace spolia {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;

constexpr double kMsPerSecond = 1000;

const Histogram::BucketBoundaries& seconds_buckets() {
    static const Histogram::BucketBoundaries kBuckets = {0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                         2.5,  5,     10,   25,  50,   100};
    return kBuckets;
}

const Histogram::BucketBoundaries& kl_buckets() {
    static const Histogram::BucketBoundaries kBuckets = {1e-4, 1e-3, 5e-3, 0.01, 0.025, 0.05,
                                                         0.1,  0.25, 0.5,  1,    2.5,   10};
    return kBuckets;
}

}  // namespace

class Metrics::Impl {
public:
    void add_receipt(const Receipt& receipt) {
        add(prompt_tokens_, "source", "exact", receipt.n_exact);
        add(prompt_tokens_, "source", "shifted", receipt.n_shifted);
        add(prompt_tokens_, "source", "blended", receipt.n_blended);
        add(prompt_tokens_, "source", "anchored", receipt.n_anchored);
        add(prompt_tokens_, "source", "donor", receipt.n_donor);
        add(prompt_tokens_, "source", "computed", receipt.n_computed);
        for (const Miss& miss : receipt.misses) {
            add(misses_, "reason", miss.reason, 1);
            add(missed_tokens_, "reason", miss.reason, miss.n_tokens);
        }
        if (!receipt.fallback.empty()) add(fallbacks_, "reason", receipt.fallback, 1);
        ttft_.Observe(receipt.ttft_ms / kMsPerSecond);
        prefill_.Observe(receipt.prompt_ms / kMsPerSecond);
        queue_.Observe(receipt.queue_ms / kMsPerSecond);
    }

    void add_outcome(const GenerateOutcome& outcome) {
        add(requests_, "result", to_string(outcome.finish), 1);
        generated_tokens_.Increment(outcome.n_generated);
    }

    void add_failure(ErrorCode code) { add(requests_, "result", to_string(code), 1); }
    void add_encoded() { chunks_encoded_.Increment(); }
    void add_page() { pages_captured_.Increment(); }
    void add_shadow(double kl) {
        add(shadows_, "result", "compared", 1);
        shadow_kl_.Observe(kl);
    }
    void add_shadow_end(std::string_view result) { add(shadows_, "result", result, 1); }
    void add_demotion() { guard_demotions_.Increment(); }

    std::string text(const ServiceStats& stats) EXCLUDES(mutex_) {
        MutexLock lock(mutex_);
        set(blocks_bytes_, "ram", stats.blocks.ram_bytes);
        set(blocks_bytes_, "disk", stats.blocks.disk_bytes);
        set(blocks_, "ram", stats.blocks.ram_blocks);
        set(blocks_, "disk", stats.blocks.disk_blocks);
        catch_up(evictions_.Add({{"tier", "ram"}}), stats.blocks.ram_evictions);
        catch_up(evictions_.Add({{"tier", "disk"}}), stats.blocks.disk_evictions);
        catch_up(disk_writes_dropped_, stats.blocks.disk_writes_dropped);
        catch_up(files_set_aside_, stats.blocks.files_set_aside);
        anchors_.Set(static_cast<double>(stats.anchors.anchors));
        anchors_bytes_.Set(static_cast<double>(stats.anchors.bytes));
        catch_up(anchor_evictions_, stats.anchors.evictions);
        donors_.Set(static_cast<double>(stats.donors.texts));
        sequences_busy_.Set(stats.sequences_busy);
        queue_depth_.Set(stats.queue_depth);
        encode_queue_depth_.Set(stats.encode_queue_depth);
        shadow_queue_depth_.Set(stats.shadow_queue_depth);
        for (const RungState& rung : stats.guard) {
            guard_samples_.Add({{"rung", rung.label}}).Set(static_cast<double>(rung.n_samples));
            guard_serves_.Add({{"rung", rung.label}}).Set(rung.serves.empty() ? 0 : 1);
        }
        return prometheus::TextSerializer().Serialize(registry_.Collect());
    }

private:
    Family<Counter>& counters(const char* name, const char* help) {
        return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
    }
    Family<Gauge>& gauges(const char* name, const char* help) {
        return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
    }
    Histogram& seconds(const char* name, const char* help) {
        return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(
            {}, seconds_buckets());
    }

    static void add(Family<Counter>& family, const char* label, std::string_view value, double n) {
        family.Add({{label, std::string(value)}}).Increment(n);
    }
    static void set(Family<Gauge>& family, const char* tier, uint64_t value) {
        family.Add({{"tier", tier}}).Set(static_cast<double>(value));
    }
    // The store counts for itself; the counter takes over its figure.
    static void catch_up(Counter& counter, uint64_t total) {
        counter.Increment(static_cast<double>(total) - counter.Value());
    }

    Mutex mutex_;  // one thread at a time brings gauges up to date
    prometheus::Registry registry_;

    Family<Counter>& prompt_tokens_ =
        counters("spolia_prompt_tokens_total", "Prompt tokens by where their KV came from.");
    Family<Counter>& misses_ =
        counters("spolia_misses_total", "Requests that computed reusable text, by reason.");
    Family<Counter>& missed_tokens_ =
        counters("spolia_missed_tokens_total", "Tokens of reusable text computed, by reason.");
    Family<Counter>& requests_ =
        counters("spolia_requests_total", "Requests that ended, by finish reason or error.");
    Counter& generated_tokens_ =
        counters("spolia_generated_tokens_total", "Tokens sampled.").Add({});
    Counter& chunks_encoded_ =
        counters("spolia_chunks_encoded_total", "Chunks encoded alone.").Add({});
    Counter& pages_captured_ =
        counters("spolia_pages_captured_total", "Pages of exact prefixes kept.").Add({});
    Family<Counter>& evictions_ = counters("spolia_evictions_total", "Blocks evicted.");

    Counter& disk_writes_dropped_ =
        counters("spolia_disk_writes_dropped_total", "Blocks that could not be written to disk.")
            .Add({});
    Counter& files_set_aside_ =
        counters("spolia_files_set_aside_total", "Damaged or foreign block files moved away.")
            .Add({});

    Histogram& ttft_ = seconds("spolia_ttft_seconds", "From arrival to the first token.");
    Histogram& prefill_ = seconds("spolia_prefill_seconds", "Prefill as a whole.");
    Histogram& queue_ = seconds("spolia_queue_seconds", "Wait for a sequence.");

    Family<Counter>& fallbacks_ = counters(
        "spolia_fallbacks_total", "Guarded requests computed densely despite blocks, by reason.");
    Family<Counter>& shadows_ =
        counters("spolia_shadows_total", "Shadow prefills by what came of them.");
    Counter& guard_demotions_ =
        counters("spolia_guard_demotions_total", "Rungs that broke their promise.").Add({});
    Histogram& shadow_kl_ =
        prometheus::BuildHistogram()
            .Name("spolia_shadow_kl")
            .Help("First-token KL between dense and composed, nats, as shadows measured it.")
            .Register(registry_)
            .Add({}, kl_buckets());

    Family<Gauge>& guard_samples_ =
        gauges("spolia_guard_samples", "Shadows that a rung is calibrated by.");
    Family<Gauge>& guard_serves_ =
        gauges("spolia_guard_serves", "Whether a rung may serve under the default budget.");
    Family<Gauge>& blocks_bytes_ = gauges("spolia_blocks_bytes", "Bytes of KV blocks held.");
    Family<Gauge>& blocks_ = gauges("spolia_blocks", "KV blocks held.");
    Gauge& anchors_ =
        gauges("spolia_anchors", "Chunks kept with what stood in front of them.").Add({});
    Gauge& donors_ =
        gauges("spolia_donors", "Chunks that edited versions can take rows from.").Add({});
    Gauge& anchors_bytes_ = gauges("spolia_anchors_bytes", "Bytes of anchors' blocks.").Add({});
    Counter& anchor_evictions_ =
        counters("spolia_anchor_evictions_total", "Anchors given up for others.").Add({});
    Gauge& sequences_busy_ = gauges("spolia_sequences_busy", "Sequences generating.").Add({});
    Gauge& queue_depth_ = gauges("spolia_queue_depth", "Requests waiting.").Add({});
    Gauge& encode_queue_depth_ =
        gauges("spolia_encode_queue_depth", "Chunks waiting to be encoded.").Add({});
    Gauge& shadow_queue_depth_ =
        gauges("spolia_shadow_queue_depth", "Requests waiting for a shadow prefill.").Add({});
};

Metrics::Metrics() : impl_(std::make_unique<Impl>()) {}
Metrics::~Metrics() = default;

void Metrics::request_started(const Receipt& receipt) { impl_->add_receipt(receipt); }
void Metrics::request_done(const GenerateOutcome& outcome) { impl_->add_outcome(outcome); }
void Metrics::request_failed(ErrorCode code) { impl_->add_failure(code); }
void Metrics::chunk_encoded() { impl_->add_encoded(); }
void Metrics::page_captured() { impl_->add_page(); }
void Metrics::shadow_compared(double kl) { impl_->add_shadow(kl); }
void Metrics::shadow_ended(std::string_view result) { impl_->add_shadow_end(result); }
void Metrics::guard_demoted() { impl_->add_demotion(); }
std::string Metrics::text(const ServiceStats& stats) const { return impl_->text(stats); }

}  // namespace spolia
