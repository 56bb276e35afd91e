#include "broker/wire/status.h"

#include "broker/wire/guard_state.h"
#include "broker/wire/json.h"

namespace spolia {
namespace {

const char* role_name(SegmentRole role) {
    switch (role) {
        case SegmentRole::kFixed: return "fixed";
        case SegmentRole::kChunk: return "chunk";
        case SegmentRole::kGlue: return "glue";
        case SegmentRole::kQuery: return "query";
    }
    return "glue";
}

Json part_json(const PlanPreview::Part& part) {
    Json json = {{"role", role_name(part.role)},
                 {"begin", part.span.begin},
                 {"end", part.span.end},
                 {"action", part.action}};
    if (!part.reason.empty()) json["reason"] = part.reason;
    if (part.role == SegmentRole::kChunk) json["key"] = part.key.hex();
    return json;
}

Json guard_json(const std::vector<RungState>& rungs) {
    Json list = Json::array();
    for (const RungState& rung : rungs) list.push_back(rung_state_json(rung));
    return list;
}

}  // namespace

std::string health_json() { return dump({{"status", "ok"}}); }

std::string models_json(const ModelInfo& model, std::string_view name, int64_t created) {
    Json meta = {
        {"name", model.name},
        {"architecture", model.architecture},
        {"n_params", model.n_params},
        {"size", model.bytes},
        {"n_vocab", model.n_vocab},
        {"n_ctx_train", model.n_ctx_train},
        {"random_weights", model.random_weights},
        {"reuse", to_string(model.support)},
    };
    if (!model.support_reason.empty()) meta["reuse_reason"] = model.support_reason;
    Json entry = {{"id", name},
                  {"object", "model"},
                  {"created", created},
                  {"owned_by", "spolia"},
                  {"meta", std::move(meta)}};
    return dump({{"object", "list"}, {"data", Json::array({std::move(entry)})}});
}

std::string stats_json(const ServiceStats& stats) {
    const BlockStoreStats& blocks = stats.blocks;
    return dump({
        {"ram",
         {{"blocks", blocks.ram_blocks},
          {"bytes", blocks.ram_bytes},
          {"evictions", blocks.ram_evictions},
          {"pinned", blocks.pinned_blocks}}},
        {"disk",
         {{"blocks", blocks.disk_blocks},
          {"bytes", blocks.disk_bytes},
          {"evictions", blocks.disk_evictions},
          {"writes_dropped", blocks.disk_writes_dropped},
          {"files_set_aside", blocks.files_set_aside},
          {"last_error", blocks.last_disk_error.empty() ? Json() : Json(blocks.last_disk_error)}}},
        {"anchors",
         {{"count", stats.anchors.anchors},
          {"bytes", stats.anchors.bytes},
          {"evictions", stats.anchors.evictions}}},
        {"donors", {{"count", stats.donors.texts}, {"waiting", stats.donors.waiting}}},
        {"sequences", {{"total", stats.limits.n_sequences}, {"busy", stats.sequences_busy}}},
        {"n_ctx", stats.limits.n_ctx},
        {"queue_depth", stats.queue_depth},
        {"encode_queue_depth", stats.encode_queue_depth},
        {"shadow_queue_depth", stats.shadow_queue_depth},
        {"requests", stats.requests},
        {"guard", guard_json(stats.guard)},
    });
}

std::string plan_json(const PlanPreview& plan) {
    Json parts = Json::array();
    for (const PlanPreview::Part& part : plan.parts) parts.push_back(part_json(part));
    return dump({{"object", "plan"},
                 {"policy", plan.policy},
                 {"parts", std::move(parts)},
                 {"dense_ms", plan.dense_ms},
                 {"chosen_ms", plan.chosen_ms}});
}

}  // namespace spolia
