#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "adapters/llama/llama_engine.h"
#include "adapters/llama/tiled_attention.h"
#include "broker/cli/chosen_embedder.h"
#include "broker/cli/commands.h"
#include "broker/cli/config_flags.h"
#include "broker/cli/doctor_prefix.h"
#include "broker/cli/llama_server.h"
#include "broker/cli/own_models.h"
#include "broker/cli/report.h"
#include "broker/core/guard_file.h"
#include "broker/guard/guard.h"
#include "broker/local_stack.h"
#include "broker/quality/check_layer_file.h"
#include "broker/wire/guard_state.h"
#include "reuse/rope.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr const char* kAbout = R"(Checks what serving needs, and measures what reuse counts on:
the model file, llama.cpp's cache and state layout, the load gate (recomputing every row must give
llama_decode's logits; a rotated block must equal the same chunk encoded in place), the cache
folder, the embedder of collections, what the guard has learned of the model, rotation speed against
memcpy, and memory. Takes the options of `spolia serve`; without --model it uses the sample model.
Upstreams are not asked: `serve` logs whether prompts are put into a llama-server's slots, and why
not.
Exit code 1 when a check fails.

With --prefix it reads a log instead: one request to /v1/chat/completions or /v1/completions a line,
or an object that has it as "request" or "body". It compares each prompt with the earlier one that
it shares most with, and says which bytes ended what servers could reuse, and what to do.)";

enum class Verdict { kOk, kWarning, kFailed };

const char* name_of(Verdict verdict) {
    switch (verdict) {
        case Verdict::kOk: return "ok";
        case Verdict::kWarning: return "warning";
        case Verdict::kFailed: return "failed";
    }
    return "";
}

// Checks in the order in which they ran.
class Findings {
public:
    void add(std::string check, Verdict verdict, std::string text, Json figures = nullptr) {
        Json finding = {
            {"check", std::move(check)}, {"verdict", name_of(verdict)}, {"text", std::move(text)}};
        if (!figures.is_null()) finding["figures"] = std::move(figures);
        list_.push_back(std::move(finding));
        failed_ = failed_ || verdict == Verdict::kFailed;
    }
    bool failed() const { return failed_; }
    const Json& json() const { return list_; }

    std::string text() const {
        std::string text;
        for (const Json& finding : list_) {
            char line[64];
            std::snprintf(line, sizeof line, "%-8s %-16s ",
                          finding["verdict"].get<std::string>().c_str(),
                          finding["check"].get<std::string>().c_str());
            text += line + finding["text"].get<std::string>() + "\n";
        }
        return text;
    }

private:
    Json list_ = Json::array();
    bool failed_ = false;
};

std::string mib(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

void check_machine(Findings& findings) {
    findings.add("processor", Verdict::kOk,
                 std::to_string(std::thread::hardware_concurrency()) +
                     " threads; rotation kernel " + std::string(to_string(best_rotate_kernel())) +
                     ", attention kernel " + std::string(tiled_attention_kernel()));
    const std::filesystem::path server = find_llama_server();
    findings.add("llama-server", server.empty() ? Verdict::kWarning : Verdict::kOk,
                 server.empty() ? "not found; only benches and the demo need it (set "
                                  "SPOLIA_LLAMA_SERVER)"
                                : server.string());
}

void check_folder(const std::filesystem::path& folder, Findings& findings) {
    if (folder.empty()) {
        findings.add("cache folder", Verdict::kWarning,
                     "none: blocks are lost when the broker ends (set --cache-dir)");
        return;
    }
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    const std::filesystem::path probe = folder / "doctor.probe";
    const bool writable = bool(std::ofstream(probe) << "spolia");
    std::filesystem::remove(probe, error);
    const auto space = std::filesystem::space(folder, error);
    findings.add("cache folder", writable ? Verdict::kOk : Verdict::kFailed,
                 folder.string() + (writable ? ": writable, " + mib(space.available) + " free"
                                             : ": can't be written; choose another --cache-dir"));
}

void check_embedder(const EmbedderChoice& choice, Findings& findings) {
    const auto start = Clock::now();
    const Result<std::unique_ptr<TextEmbedder>> embedder =
        open_chosen_embedder(choice, EmbedderUse::kServe);
    const std::string_view text = "doctor";
    const Result<std::vector<float>> vector =
        embedder.ok() ? (*embedder)->embed({&text, 1}) : embedder.error();
    if (!vector.ok()) return findings.add("embedder", Verdict::kFailed, vector.error().message);
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    const std::string name = !choice.model.empty() ? choice.model.string()
                             : !choice.url.empty() ? choice.url
                                                   : "counts of words, without a model";
    char figures[96];
    std::snprintf(figures, sizeof figures, ", %zu dimensions, opened and asked in %.2f s",
                  vector->size(), seconds);
    findings.add("embedder", Verdict::kOk, name + figures,
                 {{"dims", vector->size()}, {"fingerprint", (*embedder)->fingerprint().hex()}});
}

double best_seconds(int times, const std::function<void()>& work) {
    double best = 1e300;
    for (int i = 0; i < times; ++i) {
        const auto start = Clock::now();
        work();
        best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
    }
    return best;
}

// Placing a block (K rotated, V copied) against copying its bytes, on one thread, over more memory
// than the caches hold.
void check_rotation(const ModelInfo& model, Findings& findings) {
    constexpr size_t kBytes = size_t{256} << 20;
    const size_t rows = std::max<size_t>(1, kBytes / model.kv.row_bytes()) * model.kv.n_layer;
    const size_t k_elements = rows * model.kv.k_dim, v_elements = rows * model.kv.v_dim;
    std::vector<uint16_t> source(k_elements + v_elements, 0x3c00), target(source.size());
    const double copy = best_seconds(
        5, [&] { std::memcpy(target.data(), source.data(), source.size() * sizeof(uint16_t)); });
    const Rotation rotation(model.rope, 1234);
    const double place = best_seconds(5, [&] {
        rotate_rows(rotation, source.data(), target.data(), static_cast<int64_t>(rows),
                    model.kv.k_dim);
        std::memcpy(target.data() + k_elements, source.data() + k_elements,
                    v_elements * sizeof(uint16_t));
    });
    const double gigabytes = static_cast<double>(source.size()) * sizeof(uint16_t) / 1e9;
    const double share = copy / place;
    char text[160];
    std::snprintf(text, sizeof text, "%.1f GB/s on one thread, %.0f %% of memcpy's %.1f GB/s",
                  gigabytes / place, 100 * share, gigabytes / copy);
    findings.add(
        "placement", share >= 0.5 ? Verdict::kOk : Verdict::kWarning, text,
        {{"gb_per_s", gigabytes / place}, {"memcpy_gb_per_s", gigabytes / copy}, {"share", share}});
}

void check_layer(const std::filesystem::path& folder, const ModelInfo& model, Findings& findings) {
    const Result<int32_t> layer =
        read_check_layer(check_layer_file(folder, model.fingerprint), model);
    if (layer.ok()) {
        return findings.add("check layer", Verdict::kOk, std::to_string(*layer) + ", calibrated",
                            {{"layer", *layer}});
    }
    const bool damaged = layer.error().code == ErrorCode::kCorrupt;
    findings.add("check layer", damaged ? Verdict::kWarning : Verdict::kOk,
                 std::to_string(kCheckLayerUncalibrated) + ", " +
                     (damaged ? layer.error().message
                              : "as of no calibration: spolia calibrate finds the model's own"),
                 {{"layer", kCheckLayerUncalibrated}});
}

// What shadows have said so far, as the cache folder has it, under the configured budget.
void check_guard(const Config& config, const ModelInfo& model, Findings& findings) {
    const std::filesystem::path path = guard_file(config.cache.directory, model.fingerprint);
    if (path.empty()) {
        return findings.add("guard", Verdict::kWarning,
                            "calibrated anew whenever the broker starts (set --cache-dir)");
    }
    const Result<std::vector<RungRecord>> records =
        read_guard_file(path, model.fingerprint, config.reuse.budget);
    if (!records.ok()) {
        const bool none = records.error().code == ErrorCode::kNotFound;
        return findings.add(
            "guard", none ? Verdict::kOk : Verdict::kWarning,
            none ? "not calibrated yet: guarded requests run dense until " +
                       std::to_string(Calibration::samples_needed(config.reuse.budget)) +
                       " of them were compared"
                 : records.error().message + "; it will be set aside");
    }
    Guard guard(config.reuse.budget);
    guard.restore(*records);
    for (const RungState& rung : guard.states()) {
        findings.add("guard", rung.demoted ? Verdict::kWarning : Verdict::kOk,
                     rung.label + ": " + std::to_string(rung.n_samples) + " samples, serves " +
                         describe(rung.serves) + (rung.demoted ? ", demoted" : "") + ", " +
                         std::to_string(rung.n_demotions) + " demotions",
                     rung_state_json(rung));
    }
}

void check_model(const Config& config, const std::filesystem::path& path, Findings& findings) {
    const auto start = Clock::now();
    Result<std::unique_ptr<LlamaModel>> model =
        LlamaModel::load({path.string(), config.model.n_gpu_layers, {}});
    if (!model) return findings.add("model", Verdict::kFailed, model.error().message);
    const Result<std::unique_ptr<LlamaEngine>> engine = open_engine(config.model, **model);
    if (!engine) return findings.add("engine", Verdict::kFailed, engine.error().message);

    const ModelInfo& info = (*engine)->info();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    char text[256];
    std::snprintf(text, sizeof text, "%s: %s, %.1f M parameters, loaded and checked in %.1f s%s",
                  info.name.c_str(), info.architecture.c_str(),
                  static_cast<double>(info.n_params) / 1e6, seconds,
                  info.random_weights ? " (random weights)" : "");
    findings.add("model", Verdict::kOk, text,
                 {{"random", info.random_weights},
                  {"params", info.n_params},
                  {"fingerprint", info.fingerprint.hex()}});

    const EngineMemory memory = (*engine)->memory();
    findings.add("memory", Verdict::kOk,
                 "weights " + mib(info.bytes) + ", KV cache " + mib(memory.kv_cache_bytes) +
                     " for " + std::to_string((*engine)->limits().n_sequences) + " sequences of " +
                     std::to_string((*engine)->limits().n_ctx) + " rows, RAM tier up to " +
                     mib(config.cache.ram_bytes_max));
    const std::string support(to_string(info.support));
    if (info.support == ReuseSupport::kExactOnly) {
        return findings.add("reuse", Verdict::kWarning,
                            "exact prefixes only: " + info.support_reason);
    }
    const GateReport& gate = (*engine)->gate();
    const bool fused = info.support == ReuseSupport::kFused;
    std::snprintf(text, sizeof text, "%s; rotated block: error %.2g of %.2g allowed",
                  support.c_str(), gate.block_error, gate.block_error_max);
    std::string line = text;
    std::snprintf(text, sizeof text, "; all rows recomputed: KL %.2g of %.2g allowed", gate.full_kl,
                  gate.full_kl_max);
    line += fused ? text : "; not fused: " + info.support_reason;
    findings.add("reuse", Verdict::kOk, line,
                 {{"support", support},
                  {"full_kl", fused ? Json(gate.full_kl) : Json(nullptr)},
                  {"block_error", gate.block_error}});
    if (fused) check_layer(config.cache.directory, info, findings);
    check_guard(config, info, findings);
    check_rotation(info, findings);
}

int doctor(const Config& config, const std::string& format) {
    Findings findings;
    check_machine(findings);
    check_folder(config.cache.directory, findings);
    check_embedder(config.embedding, findings);
    const Result<std::filesystem::path> path = model_or_sample(config.model.path);
    if (path.ok()) {
        check_model(config, *path, findings);
    } else {
        findings.add("model", Verdict::kFailed, path.error().message);
    }
    if (format == "json") {
        const Json report = {{"doctor", findings.failed() ? "failed" : "ok"},
                             {"version", SPOLIA_VERSION},
                             {"findings", findings.json()}};
        std::printf("%s\n", report.dump(2).c_str());
    } else {
        std::printf("%s", findings.text().c_str());
    }
    return findings.failed() ? kExitFailure : kExitOk;
}

}  // namespace

void add_doctor(CLI::App& app, Run& run) {
    CLI::App* command =
        app.add_subcommand("doctor", "Check this machine, a model and the cache folder");
    command->footer(kAbout);
    const auto format = std::make_shared<std::string>("text");
    command->add_option("--format", *format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    const auto log = std::make_shared<std::string>();
    command->add_option("--prefix", *log, "says why prompts of a log did not begin alike")
        ->type_name("LOG");
    const auto flags = std::make_shared<ConfigFlags>();
    flags->add_to(*command);
    command->callback([flags, format, log, &run] {
        run = [flags, format, log] {
            if (!log->empty()) return doctor_prefix(*log, *format);
            const Result<Config> config = flags->load();
            if (config.ok()) return doctor(*config, *format);
            std::fprintf(stderr, "spolia doctor: %s\n", config.error().message.c_str());
            return kExitUsage;
        };
    });
}

}  // namespace spolia
