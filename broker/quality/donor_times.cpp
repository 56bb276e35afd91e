#include "broker/quality/donor_times.h"

#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "broker/core/donor_index.h"
#include "broker/quality/policy_setting.h"
#include "broker/quality/prompt.h"
#include "broker/quality/prompt_runner.h"

namespace spolia {
namespace {

using Clock = std::chrono::steady_clock;

Result<QualityPrompt> prompt_of(const std::vector<std::string>& documents,
                                const std::string& question, const TextModel& text,
                                const KeyScope& scope) {
    QualityTask task;
    task.chunks = documents;
    return make_prompt(task, {.kind = {}, .history = {}, .question = question, .answer = {}}, text,
                       scope);
}

class DonorTimer {
public:
    DonorTimer(Engine& engine, const TextModel& text)
        : engine_(engine),
          text_(text),
          scope_{engine.info().fingerprint, ""},
          runner_(engine, text, 1) {}

    Status add_way(const std::string& name) {
        times_.push_back({.way = name, .find_ms = {}, .first_token_ms = {}});
        if (name == "dense") return {};
        Result<ReusePolicy> policy = fast_policy(name, ReuseDefaults().check_layer, engine_.info());
        if (!policy) return std::move(policy).error();
        policies_.emplace(name, std::move(policy).value());
        return {};
    }

    Status run(const EditedDocuments& documents, bool counted) {
        const Result<QualityPrompt> known =
            prompt_of(documents.known, documents.question, text_, scope_);
        if (!known.ok()) return known.error();
        const Result<QualityPrompt> asked =
            prompt_of(documents.edited, documents.question, text_, scope_);
        if (!asked.ok()) return asked.error();
        for (DonorTimes& times : times_) {
            const Result<Served> served =
                times.way == "dense" ? serve_dense(*asked) : serve(*known, *asked, times.way);
            if (!served.ok()) return served.error();
            if (counted) add(*asked, *served, times);
        }
        return {};
    }

    std::vector<DonorTimes> take() && { return std::move(times_); }

private:
    struct Served {
        PromptRun run;
        double find_ms = 0;
    };

    Result<Served> serve_dense(const QualityPrompt& asked) {
        Result<PromptRun> run = runner_.dense(asked);
        if (!run) return std::move(run).error();
        return Served{.run = *std::move(run)};
    }

    Result<Served> serve(const QualityPrompt& known, const QualityPrompt& asked,
                         const std::string& way) {
        const ReusePolicy& policy = policies_.at(way);
        // A fresh index each time: the edited chunks must not be known from the way before.
        DonorIndex index(text_, engine_.info().fingerprint, {}, {});
        std::set<Key128> encoded;
        for (const Segment& chunk : known.segments) {
            if (chunk.role != SegmentRole::kChunk) continue;
            const auto tokens =
                std::span(known.tokens).subspan(chunk.span.begin, chunk.span.size());
            index.add(scope_key(scope_), chunk.key, tokens);
            encoded.insert(chunk.key);
        }
        if (const auto made = runner_.placed_blocks(known, policy); !made.ok()) return made.error();
        const FindResidence find = [&](const Key128& key, std::span<const Token>) {
            return encoded.contains(key) ? Residence::kRam : Residence::kAbsent;
        };
        const Clock::time_point begin = Clock::now();
        EditedChunks edited;
        edited.donors = index.find("", asked.tokens, asked.segments, find).donors;
        const double find_ms =
            std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
        for (size_t part = 0; part < asked.segments.size(); ++part) {
            const Segment& segment = asked.segments[part];
            if (segment.role == SegmentRole::kChunk && !encoded.contains(segment.key)) {
                edited.parts.push_back(part);
            }
        }
        Result<PromptRun> run = runner_.composed(asked, policy, nullptr, edited);
        if (!run) return std::move(run).error();
        return Served{*std::move(run), find_ms};
    }

    static void add(const QualityPrompt& asked, const Served& served, DonorTimes& times) {
        const PromptRun& run = served.run;
        times.find_ms.push_back(served.find_ms);
        times.first_token_ms.push_back(served.find_ms + run.prefill_ms);
        times.n_prompt += static_cast<int64_t>(asked.tokens.size());
        times.n_reused += run.report.n_shifted + run.report.n_exact;
        times.n_blended += run.report.n_blended;
    }

    Engine& engine_;
    const TextModel& text_;
    const KeyScope scope_;
    PromptRunner runner_;
    std::map<std::string, ReusePolicy> policies_;
    std::vector<DonorTimes> times_;
};

}  // namespace

Result<std::vector<DonorTimes>> time_donors(Engine& engine, const TextModel& text,
                                            const std::vector<EditedDocuments>& rounds,
                                            const std::function<void(size_t)>& progress) {
    DonorTimer timer(engine, text);
    for (const char* way : {"dense", "none", "cacheblend", "adaptive"}) {
        if (Status added = timer.add_way(way); !added) return added.error();
    }
    for (size_t i = 0; i < rounds.size(); ++i) {
        progress(i);
        if (Status run = timer.run(rounds[i], i > 0); !run) return run.error();
    }
    progress(rounds.size());
    return std::move(timer).take();
}

}  // namespace spolia
