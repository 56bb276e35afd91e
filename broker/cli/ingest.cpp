#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cache_folder.h"
#include "broker/cli/commands.h"
#include "broker/cli/progress.h"
#include "broker/rag/collection_name.h"
#include "broker/rag/collection_store.h"
#include "broker/rag/ingest.h"
#include "index/hashed_embedder.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(Takes documents into a collection, which `spolia serve` with the same --cache-dir retrieves
from: text, Markdown, HTML, and PDF where poppler's pdftotext is installed. Folders are searched for
files with such endings; hidden ones are left out, and links are not followed. Again on the same
paths it takes what changed, and removes what is gone. It may be ended at any time: the next call
goes on.

Examples:
  spolia ingest docs README.md --collection project
  spolia ingest ~/papers --collection papers --cache-dir /var/cache/spolia --format json

Exit codes: 0 done, 1 failed or some files can't be read, 2 wrong usage.)";

struct Options {
    std::vector<std::string> paths;
    std::string collection;
    std::string cache_directory;
    std::string tenant;
    std::string format = "text";
    bool quiet = false;
};

int fail(const Error& error, int code = kExitFailure) {
    std::fprintf(stderr, "spolia ingest: %s\n", error.message.c_str());
    return code;
}

void print(const Options& options, const IngestReport& report, const CollectionSize& size,
           double seconds) {
    if (options.format == "json") {
        const Json json = {{"collection", options.collection},
                           {"added", report.n_added},
                           {"replaced", report.n_replaced},
                           {"unchanged", report.n_unchanged},
                           {"removed", report.n_removed},
                           {"failed", report.n_failed},
                           {"documents", size.n_documents},
                           {"chunks", size.n_chunks},
                           {"text_bytes", size.text_bytes},
                           {"bytes_read", report.bytes_read},
                           {"seconds", seconds},
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
    }
}

int run_ingest(const Options& options) {
    if (const Status good = check_collection_name(options.collection); !good.ok()) {
        return fail(good.error(), kExitUsage);
    }
    const std::unique_ptr<TextEmbedder> embedder = make_hashed_embedder();
    const CollectionStore store(collections_folder(options.cache_directory), *embedder);
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
    const Result<IngestReport> report = ingest_files(**collection, *embedder, paths, listener);
    bar.clear();
    if (!report.ok()) return fail(report.error());
    const Result<CollectionSize> size = (*collection)->size();
    if (!size.ok()) return fail(size.error());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    print(options, *report, *size, elapsed.count());
    return report->n_failed > 0 ? kExitFailure : kExitOk;
}

}  // namespace

void add_ingest(CLI::App& app, Run& run) {
    CLI::App* command =
        app.add_subcommand("ingest", "Take documents into a collection, to be retrieved from");
    command->footer(kAbout);
    const auto options = std::make_shared<Options>();
    command->add_option("PATH", options->paths, "files and folders")->required();
    command->add_option("--collection", options->collection, "its name")->required();
    command
        ->add_option("--cache-dir", options->cache_directory,
                     "the server's; else the user's cache folder [SPOLIA_CACHE_DIR]")
        ->envname("SPOLIA_CACHE_DIR")
        ->type_name("DIR");
    command->add_option("--tenant", options->tenant, "whose collection, where keys have tenants");
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->add_flag("--quiet", options->quiet, "no progress bar and no summary; only warnings");
    command->callback([options, &run] { run = [options] { return run_ingest(*options); }; });
}

}  // namespace spolia
