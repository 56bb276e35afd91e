#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cache_folder.h"
#include "broker/cli/chosen_embedder.h"
#include "broker/cli/commands.h"
#include "broker/cli/config_flags.h"
#include "broker/cli/progress.h"
#include "broker/rag/collection_name.h"
#include "broker/rag/collection_store.h"
#include "broker/rag/ingest.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(Takes documents into a collection, which `spolia serve` with the same --cache-dir retrieves
from: text, Markdown, HTML, and PDF where poppler's pdftotext is installed. Folders are searched for
files with such endings; hidden ones are left out, and links are not followed. Again on the same
paths it takes what changed, and removes what is gone. It may be ended at any time: the next call
goes on. The server must have the same --embedding-... flags, or the same --config; with others, all
texts of the collection are embedded anew (a server is another one under another URL, localhost in
place of 127.0.0.1 too). --remove, in place of paths, removes the collection with all documents.

Examples:
  spolia ingest docs README.md --collection project
  spolia ingest ~/papers --collection papers --cache-dir /var/cache/spolia --format json
  spolia ingest docs --collection project --embedding-model bge-small-en-v1.5-q8_0.gguf
  spolia ingest docs --collection project --embedding-url http://127.0.0.1:8081/v1
  spolia ingest --collection papers --remove

Exit codes: 0 done, 1 failed or some files or folders can't be read, 2 wrong usage.)";

struct Options {
    std::vector<std::string> paths;
    std::string collection;
    std::string tenant;
    std::string format = "text";
    bool quiet = false;
    bool remove = false;
};

int fail(const Error& error, int code = kExitFailure) {
    std::fprintf(stderr, "spolia ingest: %s\n", error.message.c_str());
    return code;
}

void print(const Options& options, const IngestReport& report, const CollectionSize& size,
           double seconds) {
    if (options.format == "json") {
        const Json json = {
            {"collection", options.collection}, {"added", report.n_added},
            {"replaced", report.n_replaced},    {"unchanged", report.n_unchanged},
            {"removed", report.n_removed},      {"embedded_anew", report.n_embedded_anew},
            {"failed", report.n_failed},        {"documents", size.n_documents},
            {"chunks", size.n_chunks},          {"text_bytes", size.text_bytes},
            {"bytes_read", report.bytes_read},  {"seconds", seconds},
            {"warnings", report.warnings}};
        std::printf("%s\n", json.dump(2, ' ', false, Json::error_handler_t::replace).c_str());
    } else if (!options.quiet) {
        std::printf(
            "%zu added, %zu replaced, %zu unchanged, %zu removed, %zu failed\n"
            "collection '%s': %lld documents, %lld chunks; %.1f MB read in %.1f s\n",
            report.n_added, report.n_replaced, report.n_unchanged, report.n_removed,
            report.n_failed, options.collection.c_str(), static_cast<long long>(size.n_documents),
            static_cast<long long>(size.n_chunks), static_cast<double>(report.bytes_read) / 1e6,
            seconds);
        if (report.n_embedded_anew > 0) {
            std::printf("%zu chunks had vectors of another embedder, and have new ones\n",
                        report.n_embedded_anew);
        }
    }
}

int run_remove(const Options& options, const Config& config) {
    const Status removed = remove_collection(collections_folder(config.cache.directory),
                                             options.tenant, options.collection);
    if (!removed.ok()) return fail(removed.error());
    if (options.format == "json") {
        const Json json = {{"collection", options.collection}, {"removed", true}};
        std::printf("%s\n", json.dump(2).c_str());
    } else if (!options.quiet) {
        std::printf("collection '%s' is removed\n", options.collection.c_str());
    }
    return kExitOk;
}

int run_ingest(const Options& options, const Config& config) {
    const Result<std::unique_ptr<TextEmbedder>> embedder =
        open_chosen_embedder(config.embedding, EmbedderUse::kIngest);
    if (!embedder.ok()) return fail(embedder.error());
    const CollectionStore store(collections_folder(config.cache.directory), **embedder);
    const Result<std::unique_ptr<CollectionDatabase>> collection =
        store.open(options.tenant, options.collection, Database::Access::kCreate);
    if (!collection.ok()) return fail(collection.error());
    const std::vector<std::filesystem::path> paths(options.paths.begin(), options.paths.end());
    const auto begin = std::chrono::steady_clock::now();
    ProgressBar bar("ingest", options.quiet);
    const IngestListener listener{.progress =
                                      [&bar](size_t n_done, size_t n_all) {
                                          bar.show(n_done, n_all);
                                          return true;
                                      },
                                  .warn =
                                      [&bar](const std::string& what) {
                                          bar.clear();
                                          std::fprintf(stderr, "spolia ingest: %s\n", what.c_str());
                                      }};
    const Result<IngestReport> report = ingest_files(**collection, **embedder, paths, listener);
    bar.clear();
    if (!report.ok()) return fail(report.error());
    const Result<CollectionSize> size = (*collection)->size();
    if (!size.ok()) return fail(size.error());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    print(options, *report, *size, elapsed.count());
    return report->n_failed > 0 ? kExitFailure : kExitOk;
}

int run_command(const Options& options, const Config& config) {
    if (const Status good = check_collection_name(options.collection); !good.ok()) {
        return fail(good.error(), kExitUsage);
    }
    if (options.remove) return run_remove(options, config);
    if (options.paths.empty()) {
        return fail(invalid("name the files and folders to take in, or --remove"), kExitUsage);
    }
    return run_ingest(options, config);
}

}  // namespace

void add_ingest(CLI::App& app, Run& run) {
    CLI::App* command =
        app.add_subcommand("ingest", "Take documents into a collection, to be retrieved from");
    command->footer(kAbout);
    const auto options = std::make_shared<Options>();
    CLI::Option* paths = command->add_option("PATH", options->paths, "files and folders");
    command->add_flag("--remove", options->remove, "remove the collection")->excludes(paths);
    command->add_option("--collection", options->collection, "its name")->required();
    command->add_option("--tenant", options->tenant, "whose collection, where keys have tenants");
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->add_flag("--quiet", options->quiet, "no progress bar and no summary; only warnings");
    const auto flags = std::make_shared<ConfigFlags>();
    constexpr std::string_view kOptions[] = {"cache.directory", "embedding."};
    flags->add_to(*command, kOptions);
    command->callback([flags, options, &run] {
        run = [flags, options] {
            const Result<Config> config = flags->load();
            return config.ok() ? run_command(*options, *config) : fail(config.error(), kExitUsage);
        };
    });
}

}  // namespace spolia
