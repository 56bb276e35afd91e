#include "broker/quality/team_bench.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "adapters/tokenize_part.h"
#include "broker/quality/kvcomm_way.h"
#include "broker/quality/measures.h"
#include "broker/quality/team_way.h"
#include "reuse/divergence.h"

namespace spolia {
namespace {

double mean(const std::vector<double>& values) {
    if (values.empty()) return 0;
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// What the agent is given: its own note, the notes that all read, the messages so far.
Result<QualityPrompt> prompt_of(const TeamTask& task, size_t agent,
                                const std::vector<std::string>& answers, const TextModel& text,
                                const KeyScope& scope) {
    QualityTask prompt;
    prompt.chunks.push_back(task.agents[agent].note);
    prompt.chunks.insert(prompt.chunks.end(), task.notes.begin(), task.notes.end());
    for (size_t i = 0; i < agent; ++i) {
        prompt.chunks.push_back(with_answers(task.agents[i].message, answers));
    }
    const QualityQuestion question{.kind = {},
                                   .history = {},
                                   .question = with_answers(task.agents[agent].question, answers),
                                   .answer = with_answers(task.agents[agent].answer, answers)};
    return make_prompt(prompt, question, text, scope);
}

void add_call(const TeamCall& call, const TeamCall& dense, const std::string& answer,
              CallFigures& figures) {
    ++figures.n;
    figures.n_right += begins_with_answer(call.output, answer);
    figures.n_same_first += top_token(call.logits) == top_token(dense.logits);
    figures.kl.push_back(kl_divergence(dense.logits, call.logits));
    const Receipt& receipt = call.receipt;
    figures.prompt_ms.push_back(receipt.prompt_ms);
    figures.keep_ms.push_back(call.keep_ms);
    figures.n_reusing += receipt.n_shifted + receipt.n_anchored > 0;
    figures.n_prompt += receipt.n_prompt;
    figures.n_exact += receipt.n_exact;
    figures.n_shifted += receipt.n_shifted;
    figures.n_anchored += receipt.n_anchored;
    figures.n_blended += receipt.n_blended;
}

class TeamBench {
public:
    TeamBench(const TextModel& text, const KeyScope& scope, const TeamBenchOptions& options)
        : text_(text), scope_(scope), options_(options) {}

    Status open(Engine& engine, int32_t n_agents) {
        for (const TeamSetting& setting : team_settings()) {
            Result<std::unique_ptr<TeamWay>> way = TeamWay::open(
                engine, text_, next_sequence(n_agents), n_agents, setting, options_.check_layer);
            if (!way) return way.error();
            add_way(setting.name, std::move(way).value(), n_agents);
        }
        add_way(kKvcomm,
                std::make_unique<KvcommWay>(engine, text_, next_sequence(n_agents), n_agents),
                n_agents);
        return {};
    }

    Status run(const TeamRun& run, bool measured) {
        std::vector<std::string> answers;
        for (size_t agent = 0; agent < run.task.agents.size(); ++agent) {
            if (Status called = call_agent(run, agent, answers, measured); !called) return called;
        }
        return {};
    }

    std::vector<TeamFigures> take_figures() {
        for (size_t i = 0; i < ways_.size(); ++i) figures_[i].pool = ways_[i]->pool();
        return std::move(figures_);
    }

private:
    int32_t next_sequence(int32_t n_agents) const {
        return static_cast<int32_t>(ways_.size()) * n_agents;
    }

    void add_way(std::string name, std::unique_ptr<TeamServer> way, int32_t n_agents) {
        ways_.push_back(std::move(way));
        figures_.push_back({.policy = std::move(name),
                            .agents = std::vector<CallFigures>(static_cast<size_t>(n_agents)),
                            .kinds = {},
                            .judges = {},
                            .all = {},
                            .pool = {}});
    }

    Status call_agent(const TeamRun& run, size_t agent, std::vector<std::string>& answers,
                      bool measured) {
        const TeamAgent& called = run.task.agents[agent];
        const Result<QualityPrompt> prompt = prompt_of(run.task, agent, answers, text_, scope_);
        if (!prompt.ok()) return prompt.error();
        std::vector<Token> said;
        if (run.says_messages && !called.message.empty()) {
            const Result<TokenizedPart> part = tokenize_part(text_, called.message);
            if (!part.ok()) return part.error();
            said = part->text.tokens;
        }
        TeamCall dense;
        for (size_t i = 0; i < ways_.size(); ++i) {
            Result<TeamCall> call = ways_[i]->call(*prompt, agent, said, options_.tokens_max);
            if (!call) return call.error();
            if (i == 0) dense = *call;
            if (measured) add(run, agent, *call, dense, prompt->answer, figures_[i]);
        }
        answers.push_back(run.says_messages ? std::string() : normalized_answer(dense.output));
        return {};
    }

    static void add(const TeamRun& run, size_t agent, const TeamCall& call, const TeamCall& dense,
                    const std::string& answer, TeamFigures& figures) {
        add_call(call, dense, answer, figures.agents[agent]);
        add_call(call, dense, answer, figures.all);
        if (!run.kind.empty()) add_call(call, dense, answer, figures.kinds[run.kind]);
        if (run.task.agents[agent].judge) add_call(call, dense, answer, figures.judges);
    }

    const TextModel& text_;
    const KeyScope scope_;
    const TeamBenchOptions& options_;
    std::vector<std::unique_ptr<TeamServer>> ways_;
    std::vector<TeamFigures> figures_;
};

}  // namespace

std::vector<TeamSetting> team_settings() {
    const auto fast = [](std::string_view policy) {
        ReuseOptions reuse;
        reuse.fidelity = Fidelity::kFast;
        reuse.policy = std::string(policy);
        return TeamSetting{std::string(policy), reuse, false};
    };
    ReuseOptions exact;
    exact.fidelity = Fidelity::kExact;
    return {{"dense", exact, true},
            {"prefix", exact},
            fast("none"),
            fast("cacheblend"),
            fast(kAnchorsPolicy)};
}

size_t n_team_ways() { return team_settings().size() + 1; }

double CallFigures::ms_mean() const { return mean(prompt_ms); }
double CallFigures::keep_ms_mean() const { return mean(keep_ms); }
double CallFigures::kl_mean() const { return mean(kl); }

double CallFigures::token_reuse() const {
    if (n_prompt == 0) return 0;
    return static_cast<double>(n_exact + n_shifted + n_anchored) / static_cast<double>(n_prompt);
}

Result<std::vector<TeamFigures>> measure_teams(Engine& engine, const TextModel& text,
                                               const std::vector<TeamRun>& runs,
                                               const TeamBenchOptions& options,
                                               const TeamProgress& progress) {
    size_t n_agents = 0;
    for (const TeamRun& run : runs) n_agents = std::max(n_agents, run.task.agents.size());
    TeamBench bench(text, {engine.info().fingerprint, ""}, options);
    if (Status status = bench.open(engine, static_cast<int32_t>(n_agents)); !status) {
        return status.error();
    }
    for (size_t i = 0; i < runs.size(); ++i) {
        progress(i, runs.size());
        const bool measured = i >= static_cast<size_t>(options.n_warm_up);
        if (Status status = bench.run(runs[i], measured); !status) return status.error();
    }
    progress(runs.size(), runs.size());
    return bench.take_figures();
}

}  // namespace spolia
