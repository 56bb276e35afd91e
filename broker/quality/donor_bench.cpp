#include "broker/quality/donor_bench.h"

#include <memory>
#include <numeric>
#include <utility>

#include "broker/core/donor.h"
#include "broker/quality/measures.h"
#include "broker/quality/policy_setting.h"
#include "broker/quality/prompt.h"
#include "broker/quality/prompt_runner.h"
#include "reuse/divergence.h"

namespace spolia {
namespace {

std::vector<size_t> chunk_parts(const QualityPrompt& prompt) {
    std::vector<size_t> parts;
    for (size_t part = 0; part < prompt.segments.size(); ++part) {
        if (prompt.segments[part].role == SegmentRole::kChunk) parts.push_back(part);
    }
    return parts;
}

std::span<const Token> tokens_of(const QualityPrompt& prompt, size_t part) {
    const TokenSpan span = prompt.segments[part].span;
    return std::span(prompt.tokens).subspan(span.begin, span.size());
}

// A question as it is asked, and as it would have been of the other versions.
struct Versions {
    QualityPrompt asked;
    QualityPrompt other;
};

class DonorBench {
public:
    DonorBench(Engine& engine, const TextModel& text, const DonorBenchOptions& options,
               const ReusePolicy& none, const ReusePolicy& adaptive)
        : text_(text),
          options_(options),
          scope_{engine.info().fingerprint, ""},
          none_(none),
          adaptive_(adaptive),
          runner_(engine, text, options.tokens_max) {}

    Status ask(const QualityTask& task, const QualityQuestion& question, EditFigures& figures) {
        Result<Versions> made = versions(task, question, figures.edit);
        if (!made) return std::move(made).error();
        const QualityPrompt& asked = made->asked;
        const EditedChunks edited = edited_chunks(*made);
        const Result<PromptRun> dense = runner_.dense(asked);
        if (!dense.ok()) return dense.error();
        for (size_t i = 0; i < kDonorWays.size(); ++i) {
            const Result<PromptRun> run = serve(kDonorWays[i], *made, edited, *dense);
            if (!run.ok()) return run.error();
            const bool as_asked = kDonorWays[i] != DonorWay::kAsItIs;
            add(as_asked ? asked : made->other, *dense, *run, figures.ways[i]);
        }
        return {};
    }

private:
    Result<Versions> versions(const QualityTask& task, const QualityQuestion& question,
                              EditKind edit) const {
        Result<QualityPrompt> asked = make_prompt(task, question, text_, scope_);
        if (!asked) return std::move(asked).error();
        QualityTask other = task;
        for (size_t i = 0; i < other.chunks.size(); ++i) {
            const uint64_t seed = options_.seed + 1000 * static_cast<uint64_t>(task.line) + i;
            other.chunks[i] = edited_note(edit, task.chunks[i], question.answer, seed);
        }
        Result<QualityPrompt> edited = make_prompt(other, question, text_, scope_);
        if (!edited) return std::move(edited).error();
        return Versions{std::move(asked).value(), std::move(edited).value()};
    }

    // Chunks that are the same in both versions are known as they are.
    EditedChunks edited_chunks(const Versions& versions) const {
        EditedChunks edited;
        const std::vector<size_t> ours = chunk_parts(versions.asked);
        const std::vector<size_t> theirs = chunk_parts(versions.other);
        for (size_t i = 0; i < ours.size(); ++i) {
            const Segment& chunk = versions.asked.segments[ours[i]];
            const bool paired = ours.size() == theirs.size();
            if (paired && versions.other.segments[theirs[i]].key == chunk.key) continue;
            edited.parts.push_back(ours[i]);
            if (!paired) continue;
            std::optional<Donor> donor =
                make_donor(ours[i], chunk.span, versions.asked.tokens,
                           make_donor_text(text_, versions.other.segments[theirs[i]].key,
                                           tokens_of(versions.other, theirs[i])));
            if (donor) edited.donors.push_back(*std::move(donor));
        }
        return edited;
    }

    Result<PromptRun> serve(DonorWay way, const Versions& versions, const EditedChunks& edited,
                            const PromptRun& dense) {
        switch (way) {
            case DonorWay::kDense: return dense;
            case DonorWay::kNone: return runner_.composed(versions.asked, none_, nullptr, edited);
            case DonorWay::kAdaptive:
                return runner_.composed(versions.asked, adaptive_, nullptr, edited);
            case DonorWay::kAsItIs: return runner_.composed(versions.other, adaptive_);
        }
        return dense;
    }

    static void add(const QualityPrompt& served, const PromptRun& dense, const PromptRun& run,
                    DonorCalls& calls) {
        ++calls.n;
        calls.n_right += begins_with_answer(run.output, served.answer);
        calls.n_same += normalized_answer(run.output) == normalized_answer(dense.output);
        calls.n_same_first += top_token(run.logits) == top_token(dense.logits);
        calls.kl.push_back(kl_divergence(dense.logits, run.logits));
        for (const size_t part : chunk_parts(served)) {
            calls.n_chunk_rows += served.segments[part].span.size();
        }
        calls.n_reused += run.report.n_shifted + run.report.n_exact;
        calls.n_blended += run.report.n_blended;
    }

    const TextModel& text_;
    const DonorBenchOptions& options_;
    const KeyScope scope_;
    const ReusePolicy& none_;
    const ReusePolicy& adaptive_;
    PromptRunner runner_;
};

}  // namespace

double DonorCalls::kl_mean() const {
    return n == 0 ? 0 : std::accumulate(kl.begin(), kl.end(), 0.0) / n;
}

double DonorCalls::reuse() const {
    if (n_chunk_rows == 0) return 0;
    return static_cast<double>(n_reused) / static_cast<double>(n_chunk_rows);
}

std::string_view to_string(DonorWay way) {
    switch (way) {
        case DonorWay::kDense: return "dense";
        case DonorWay::kNone: return "none";
        case DonorWay::kAdaptive: return "adaptive";
        case DonorWay::kAsItIs: return "as it is";
    }
    return {};
}

Result<std::vector<EditFigures>> measure_donors(Engine& engine, const TextModel& text,
                                                const std::vector<QualityTask>& tasks,
                                                const DonorBenchOptions& options,
                                                const DonorProgress& progress) {
    const Result<ReusePolicy> none = fast_policy("none", options.check_layer, engine.info());
    if (!none.ok()) return none.error();
    const Result<ReusePolicy> adaptive =
        fast_policy("adaptive", options.check_layer, engine.info());
    if (!adaptive.ok()) return adaptive.error();
    DonorBench bench(engine, text, options, *none, *adaptive);
    size_t n_done = 0, n_all = 0;
    for (const QualityTask& task : tasks) n_all += task.questions.size() * kEditKinds.size();
    std::vector<EditFigures> all;
    for (const EditKind edit : kEditKinds) {
        EditFigures& figures = all.emplace_back(EditFigures{.edit = edit, .ways = {}});
        for (const QualityTask& task : tasks) {
            for (const QualityQuestion& question : task.questions) {
                progress(n_done++, n_all);
                if (Status asked = bench.ask(task, question, figures); !asked) {
                    return asked.error();
                }
            }
        }
    }
    progress(n_all, n_all);
    return all;
}

}  // namespace spolia
