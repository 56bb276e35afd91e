#include "broker/cli/task_options.h"

#include <string>

#include <CLI/CLI.hpp>

namespace spolia {

std::vector<CLI::Option*> add_task_options(CLI::App& command, TaskOptions& options) {
    options.kinds.assign(kTaskKinds.begin(), kTaskKinds.end());
    std::vector<std::string> names;
    for (const TaskKind kind : kTaskKinds) names.emplace_back(to_string(kind));
    const auto set_kinds = [&options](const std::vector<std::string>& given) {
        options.kinds.clear();
        for (const std::string& name : given) options.kinds.push_back(*task_kind_from(name));
    };
    return {
        command
            .add_option_function<std::vector<std::string>>("--kind", set_kinds,
                                                           "may be repeated; default: all kinds")
            ->check(CLI::IsMember(names))
            ->take_all()
            ->allow_extra_args(false),
        command
            .add_option("--chunks", options.n_chunks,
                        "of a prompt; \"long\" has three times as many")
            ->capture_default_str(),
        command.add_option("--sentences", options.sentences_per_chunk, "of a chunk")
            ->capture_default_str(),
        command.add_option("--seed", options.seed, "another seed, other tasks")
            ->capture_default_str(),
    };
}

}  // namespace spolia
