// Placing blocks (K rotated, V copied) beside memcpy of the same bytes, one thread. The working set
// is far beyond every cache, as it is when a prompt of many chunks is put together.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "reuse/rope.h"

namespace spolia {
namespace {

constexpr int64_t kRows = 256;
constexpr int32_t kLayers = 24;
constexpr int32_t kHeads = 8;
constexpr size_t kSideBytes = size_t{384} << 20;

RopeSpec make_spec(int32_t head_dim, RopePairs pairs) {
    RopeSpec spec{pairs, head_dim, head_dim, {}};
    for (int32_t i = 0; i < head_dim / 2; ++i) {
        spec.inv_freq.push_back(std::pow(1e6, -2.0 * i / head_dim));
    }
    return spec;
}

// Blocks of one shape behind each other on either side of the copy.
struct Blocks {
    explicit Blocks(int32_t head_dim)
        : k_dim(kHeads * head_dim),
          half_block(static_cast<size_t>(kRows) * k_dim),
          n_blocks(kSideBytes / (half_block * 2 * kLayers * sizeof(uint16_t))),
          source(n_blocks * kLayers * 2 * half_block),
          target(source.size()) {
        for (size_t i = 0; i < source.size(); ++i) {
            source[i] = static_cast<uint16_t>(0x3000 + (i * 2654435761u >> 20) % 0x0c00);
        }
    }

    size_t bytes() const { return source.size() * sizeof(uint16_t); }

    int32_t k_dim;
    size_t half_block;  // elements of one layer's K
    size_t n_blocks;
    std::vector<uint16_t> source;
    std::vector<uint16_t> target;
};

double seconds_of(const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    benchmark::ClobberMemory();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void copy_all(Blocks& blocks) {
    for (size_t at = 0; at < blocks.source.size(); at += blocks.half_block) {
        std::memcpy(&blocks.target[at], &blocks.source[at], blocks.half_block * sizeof(uint16_t));
    }
}

void place_all(Blocks& blocks, const Rotation& rotation, RotateKernel kernel) {
    for (size_t at = 0; at < blocks.source.size(); at += 2 * blocks.half_block) {
        rotate_rows(rotation, &blocks.source[at], &blocks.target[at], kRows, blocks.k_dim, kernel);
        const size_t v = at + blocks.half_block;
        std::memcpy(&blocks.target[v], &blocks.source[v], blocks.half_block * sizeof(uint16_t));
    }
}

// Copies and placements take turns, so that the ratio holds while the machine's speed drifts.
void place(benchmark::State& state) {
    const auto kernel = static_cast<RotateKernel>(state.range(1));
    if (!kernel_available(kernel)) {
        state.SkipWithError("this processor lacks the kernel");
        return;
    }
    const auto head_dim = static_cast<int32_t>(state.range(0));
    const auto pairs = static_cast<RopePairs>(state.range(2));
    Blocks blocks(head_dim);
    const Rotation rotation(make_spec(head_dim, pairs), 12345);
    copy_all(blocks);
    double copy_seconds = 0;
    double place_seconds = 0;
    for (auto _ : state) {
        copy_seconds += seconds_of([&] { copy_all(blocks); });
        const double seconds = seconds_of([&] { place_all(blocks, rotation, kernel); });
        place_seconds += seconds;
        state.SetIterationTime(seconds);
    }
    const double gib = static_cast<double>(blocks.bytes() * state.iterations()) / (1 << 30);
    state.counters["place_gib_s"] = gib / place_seconds;
    state.counters["memcpy_gib_s"] = gib / copy_seconds;
    state.counters["vs_memcpy"] = copy_seconds / place_seconds;
    state.SetLabel(std::string(to_string(kernel)) +
                   (pairs == RopePairs::kNeox ? " neox" : " interleaved"));
}
BENCHMARK(place)
    ->ArgNames({"head_dim", "kernel", "pairs"})
    ->ArgsProduct({{64, 128}, {0, 1, 2}, {1, 2}})
    ->UseManualTime()
    ->Iterations(4)
    ->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace spolia
