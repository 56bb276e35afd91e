#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "anchors/anchor_pool.h"
#include "broker/core/cost_model.h"
#include "broker/core/donor_index.h"
#include "broker/core/reuse_policy.h"
#include "index/chunker.h"
#include "index/fingerprint.h"
#include "reuse/block_store.h"

namespace spolia {

// Everything about the core that can be set.
struct ServiceOptions {
    ReuseDefaults reuse;
    ChunkerOptions chunker;
    BlockStoreOptions store;
    AnchorPoolOptions anchors;
    DonorOptions donors;

    size_t queue_max = 64;          // requests that wait for a sequence
    size_t encode_queue_max = 256;  // chunks seen in prompts that wait to be encoded
    size_t put_queue_max = 1024;    // registrations that wait

    bool encode_seen_chunks = true;  // else only registered chunks are encoded
    bool capture_pages = true;       // keep exact prefixes beyond their sequence
    // Where other processes' rows are kept as pages, too (Service::keep_rows()), all pages are kept
    // apart under this name: they are exact as those processes compute, and to no bit of ours.
    std::string page_scope;
    bool reuse_by_cost = true;  // see PlanInput::by_cost
    // Time that running generations get while others' prompts are computed, as a share of the time
    // computed; at least one step a batch.
    double decode_share = 0.25;
    // Time that chunks and pages may take from running generations, as a share of theirs: without
    // any, a server that is never idle would never have anything to reuse.
    double background_share = 0.1;
    // Whether another process on this machine generates for requests of ours: it is treated as a
    // running generation. Empty: none ever does. Any thread.
    std::function<bool()> busy_elsewhere;

    // Guarded requests that are computed a second time, in idle time, to compare: this share of
    // those served by a rung that has proven itself, or dense though it might serve.
    double shadow_share = 0.05;
    // Share of all time that shadows may take; 0: none, and nothing is ever calibrated.
    double shadow_time = 0.1;
    size_t shadow_queue_max = 32;  // requests that wait for theirs, each with its logits

    std::vector<CostSample> calibration;  // measured prefills, if there are any
};

// What keys of a tenant's pages of exact prefixes depend on.
inline KeyScope page_scope(const Key128& model, const std::string& tenant,
                           const ServiceOptions& options) {
    // Tenants have no form feeds: they are words, behind a line break a client's salt.
    return {model, options.page_scope.empty() ? tenant : tenant + '\f' + options.page_scope};
}

}  // namespace spolia
