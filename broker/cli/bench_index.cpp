#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/bench_options.h"
#include "broker/cli/commands.h"
#include "broker/cli/index_workload.h"
#include "broker/cli/progress.h"
#include "broker/cli/report.h"
#include "index/hashed_embedder.h"
#include "index/inner_product.h"
#include "index/vector_index.h"
#include "reuse/block_store.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout =
    R"(The index of chunks: how fast it is built and searched, and how much it finds.

Vectors are made up, in clusters as embeddings are; searches are of one thread, one after the other.
"recall" is how many of the 8 nearest vectors a search finds, against looking at all of them. Exact
lookups ask the block store for known chunks by key and token ids. The embedder is the one that
needs no model, on made-up text in chunks of 2 KiB.

A million vectors of 384 dimensions take 4 GB and some minutes: --vectors 1000000.)";

constexpr size_t kNearest = 8;
constexpr Key128 kPartition{1, 1};
// Chunks of text, and how many a thread embeds at once.
constexpr size_t kChunkBytes = 2048;
constexpr size_t kChunksAtOnce = 16;
constexpr size_t kBlocks = 50'000;
constexpr size_t kBlockTokens = 16;

struct Options {
    std::vector<size_t> vectors = {10'000, 100'000};
    size_t dims = 384;
    size_t queries = 500;
    size_t text_mb = 16;
    size_t lookups = 2'000'000;
    int threads = 2;
    std::string format = "text";
};

double seconds_of(const std::function<void()>& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Does work(0) to work(n - 1) on several threads.
void share_work(size_t n, int n_threads, const std::function<void(size_t)>& work) {
    std::atomic<size_t> next{0};
    std::vector<std::jthread> threads;
    for (int i = 0; i < n_threads; ++i) {
        threads.emplace_back([&] {
            for (size_t item = next++; item < n; item = next++) work(item);
        });
    }
}

// The numbers of the vectors that are nearest to each query, found by looking at all of them.
std::vector<std::set<uint64_t>> nearest_of_all(std::span<const float> vectors,
                                               std::span<const float> queries, size_t n_dims,
                                               int n_threads) {
    std::vector<std::set<uint64_t>> nearest(queries.size() / n_dims);
    share_work(nearest.size(), n_threads, [&](size_t query) {
        std::set<std::pair<float, uint64_t>> best;
        for (uint64_t i = 0; i < vectors.size() / n_dims; ++i) {
            const float score =
                inner_product(queries.data() + query * n_dims, vectors.data() + i * n_dims, n_dims);
            if (best.size() == kNearest && score <= best.begin()->first) continue;
            best.emplace(score, i);
            if (best.size() > kNearest) best.erase(best.begin());
        }
        for (const auto& [score, number] : best) nearest[query].insert(number);
    });
    return nearest;
}

struct VectorFigures {
    size_t n_vectors = 0;
    double build_s = 0;
    Samples search_ms;
    double recall = 0;
};

Result<std::unique_ptr<VectorIndex>> open_in_memory(const Options& options, size_t n_dims) {
    VectorIndexOptions index_options;
    index_options.build_threads = options.threads;
    index_options.memory_max = std::numeric_limits<uint64_t>::max();
    return VectorIndex::open(index_options, Key128{}, static_cast<int32_t>(n_dims));
}

Status build(VectorIndex& index, std::span<const float> vectors, size_t n_dims, bool quiet) {
    const size_t n_vectors = vectors.size() / n_dims;
    ProgressBar progress("build", quiet);
    for (uint64_t i = 0; i < n_vectors; ++i) {
        Status added = index.add(kPartition, {0, i}, vectors.subspan(i * n_dims, n_dims));
        if (!added) return added;
        if (i % 1024 == 0) progress.show(i, n_vectors);
    }
    index.settle();
    return {};
}

Result<VectorFigures> measure_vectors(const Options& options, size_t n_vectors) {
    const size_t n_dims = options.dims;
    VectorWorkload workload(1, n_dims, n_vectors);
    const std::vector<float> vectors = workload.next(n_vectors);
    const std::vector<float> queries = workload.next(options.queries);
    Result<std::unique_ptr<VectorIndex>> index = open_in_memory(options, n_dims);
    if (!index) return index.error();

    VectorFigures figures;
    figures.n_vectors = n_vectors;
    Status built;
    figures.build_s =
        seconds_of([&] { built = build(**index, vectors, n_dims, options.format == "json"); });
    if (!built) return built.error();
    std::vector<std::vector<VectorHit>> found(options.queries);
    for (const bool warm_up : {true, false}) {
        for (size_t i = 0; i < options.queries; ++i) {
            const std::span<const float> query(queries.data() + i * n_dims, n_dims);
            const double s =
                seconds_of([&] { found[i] = (*index)->search(kPartition, query, kNearest); });
            if (!warm_up) figures.search_ms.add(s * 1000);
        }
    }
    const auto wanted = nearest_of_all(vectors, queries, n_dims, options.threads);
    size_t n_found = 0, n_wanted = 0;
    for (size_t i = 0; i < options.queries; ++i) {
        n_wanted += wanted[i].size();
        for (const VectorHit& hit : found[i]) n_found += wanted[i].count(hit.id.low);
    }
    figures.recall = static_cast<double>(n_found) / static_cast<double>(n_wanted);
    return figures;
}

// Millions of lookups of known chunks a second, on one thread.
Result<double> measure_lookups(const Options& options) {
    const KvLayout layout{.n_layer = 1, .k_dim = 8, .v_dim = 8};
    Result<std::unique_ptr<BlockStore>> store = BlockStore::open({}, Key128{}, layout);
    if (!store) return store.error();
    TaskRandom random(1);
    std::vector<BlockMeta> blocks(kBlocks);
    for (BlockMeta& meta : blocks) {
        meta.layout = layout;
        for (size_t i = 0; i < kBlockTokens; ++i) {
            meta.tokens.push_back(static_cast<Token>(random.below(150'000)));
        }
        meta.key = chunk_key({}, meta.tokens);
        Result<BlockPin> inserted = (*store)->insert(std::make_unique<KvBlock>(meta));
        if (!inserted) return inserted.error();
    }
    random.shuffle(std::span(blocks));
    size_t n_found = 0;
    const double s = seconds_of([&] {
        for (size_t i = 0; i < options.lookups; ++i) {
            const BlockMeta& meta = blocks[i % blocks.size()];
            if ((*store)->where(meta.key, meta.tokens)) ++n_found;
        }
    });
    if (n_found != options.lookups) {
        return Error{ErrorCode::kInternal, "the block store did not find a block that it holds"};
    }
    return static_cast<double>(options.lookups) / s / 1e6;
}

// Megabytes of text a second.
struct TextFigures {
    double embed = 0;
    double index = 0;    // embedded and added: from then on it is found
    double settled = 0;  // and the graph is built
};

Result<TextFigures> measure_texts(const Options& options) {
    const std::unique_ptr<TextEmbedder> embedder = make_hashed_embedder();
    const auto n_dims = static_cast<size_t>(embedder->n_dims());
    const size_t n_chunks = options.text_mb * 1'000'000 / kChunkBytes;
    const std::vector<std::string> chunks = make_texts(1, n_chunks, kChunkBytes);
    double megabytes = 0;
    for (const std::string& chunk : chunks) megabytes += static_cast<double>(chunk.size()) / 1e6;
    Result<std::unique_ptr<VectorIndex>> index = open_in_memory(options, n_dims);
    if (!index) return index.error();

    std::atomic<bool> failed{false};
    const auto embed_some = [&](size_t batch, bool add) {
        const size_t begin = batch * kChunksAtOnce;
        const size_t end = std::min(begin + kChunksAtOnce, chunks.size());
        const std::vector<std::string_view> texts(chunks.begin() + static_cast<ptrdiff_t>(begin),
                                                  chunks.begin() + static_cast<ptrdiff_t>(end));
        const Result<std::vector<float>> vectors = embedder->embed(texts);
        if (!vectors) failed = true;
        for (size_t i = begin; vectors && add && i < end; ++i) {
            const std::span<const float> vector(vectors->data() + (i - begin) * n_dims, n_dims);
            if (!(*index)->add(kPartition, {0, i}, vector)) failed = true;
        }
    };
    const size_t n_batches = (chunks.size() + kChunksAtOnce - 1) / kChunksAtOnce;
    const auto pass = [&](bool add) {
        share_work(n_batches, options.threads, [&](size_t batch) { embed_some(batch, add); });
    };
    TextFigures figures;
    figures.embed = megabytes / seconds_of([&] { pass(false); });
    const double index_s = seconds_of([&] { pass(true); });
    const double settle_s = seconds_of([&] { (*index)->settle(); });
    figures.index = megabytes / index_s;
    figures.settled = megabytes / (index_s + settle_s);
    if (failed) return Error{ErrorCode::kInternal, "a text could not be embedded or added"};
    return figures;
}

Json to_json(const VectorFigures& figures) {
    return {{"vectors", figures.n_vectors},
            {"build_s", figures.build_s},
            {"search_ms",
             {{"median", figures.search_ms.median()}, {"p99", figures.search_ms.quantile(0.99)}}},
            {"recall", figures.recall}};
}

void print_text(const Options& options, const std::vector<VectorFigures>& rows, double lookups,
                const TextFigures& text) {
    std::vector<std::vector<std::string>> table = {
        {"vectors", "build", "search (median)", "p99", "recall@8"}};
    const auto ms = [](double value) {
        char text_ms[32];
        std::snprintf(text_ms, sizeof text_ms, "%.3f ms", value);
        return std::string(text_ms);
    };
    for (const VectorFigures& row : rows) {
        char recall[32];
        std::snprintf(recall, sizeof recall, "%.3f", row.recall);
        table.push_back({std::to_string(row.n_vectors) + " x " + std::to_string(options.dims),
                         short_number(row.build_s) + " s", ms(row.search_ms.median()),
                         ms(row.search_ms.quantile(0.99)), recall});
    }
    std::printf("%s\n", format_table(table).c_str());
    std::printf("exact lookups: %s million a second, one thread\n", short_number(lookups).c_str());
    std::printf("text, %d threads: embedded %s MB/s, and indexed %s MB/s, graph and all %s MB/s\n",
                options.threads, short_number(text.embed).c_str(), short_number(text.index).c_str(),
                short_number(text.settled).c_str());
}

int bench_index(const Options& options) {
    std::vector<VectorFigures> rows;
    for (const size_t n_vectors : options.vectors) {
        Result<VectorFigures> figures = measure_vectors(options, n_vectors);
        if (!figures) return fail_command("bench index", figures.error());
        rows.push_back(*std::move(figures));
    }
    const Result<double> lookups = measure_lookups(options);
    if (!lookups) return fail_command("bench index", lookups.error());
    const Result<TextFigures> text = measure_texts(options);
    if (!text) return fail_command("bench index", text.error());
    if (options.format == "text") {
        print_text(options, rows, *lookups, *text);
        return kExitOk;
    }
    Json report = report_head("index", options.threads);
    report["setup"] = {{"dims", options.dims},       {"k", kNearest},
                       {"queries", options.queries}, {"chunk_bytes", kChunkBytes},
                       {"text_mb", options.text_mb}, {"blocks", kBlocks}};
    report["rows"] = Json::array();
    for (const VectorFigures& row : rows) report["rows"].push_back(to_json(row));
    report["lookups_per_s"] = *lookups * 1e6;
    report["text_mb_per_s"] = {
        {"embed", text->embed}, {"embed_and_index", text->index}, {"settled", text->settled}};
    std::printf("%s\n", report.dump(2).c_str());
    return kExitOk;
}

}  // namespace

void add_bench_index(CLI::App& bench, Run& run) {
    const auto options = std::make_shared<Options>();
    CLI::App* command = bench.add_subcommand("index", "The index of chunks: build, search, embed");
    command->footer(kAbout);
    command->add_option("--vectors", options->vectors, "in the index; several are run in turn")
        ->delimiter(',')
        ->check(CLI::Range(1, 4'000'000))
        ->capture_default_str();
    command->add_option("--dims", options->dims, "of a vector")
        ->check(CLI::Range(2, 8192))
        ->capture_default_str();
    command->add_option("--queries", options->queries, "searches that are timed")
        ->check(CLI::Range(1, 100'000))
        ->capture_default_str();
    command->add_option("--text-mb", options->text_mb, "megabytes of text to embed")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    command->add_option("--lookups", options->lookups)
        ->check(CLI::Range(1, 1'000'000'000))
        ->capture_default_str();
    command->add_option("--threads", options->threads, "that build and embed")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    command->add_option("--format", options->format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->callback([options, &run] { run = [options] { return bench_index(*options); }; });
}

}  // namespace spolia
