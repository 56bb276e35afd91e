#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "broker/cli/commands.h"
#include "broker/cli/report.h"
#include "reuse/block_directory.h"
#include "reuse/block_file.h"

namespace spolia {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAbout = R"(Shows what block files hold, without loading a model and without
touching them. A folder is a broker's --cache-dir, or a part of it; a broker may be running on it.
Files that the broker set aside are left out, unless their folder is named.
--verify also reads each block's rows, compares their checksum, and says so.)";

Json problem(const std::filesystem::path& path, const std::string& what) {
    return {{"file", path.string()}, {"problem", what}};
}

Result<BlockHeader> read_header(std::ifstream& file, uint64_t size) {
    std::vector<std::byte> bytes(std::min<uint64_t>(size, kBlockPrefixBytes));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    const Result<uint64_t> payload = payload_offset(bytes, size);
    if (!payload.ok()) return payload.error();
    const size_t prefix = bytes.size();
    bytes.resize(*payload);
    file.read(reinterpret_cast<char*>(bytes.data() + prefix),
              static_cast<std::streamsize>(bytes.size() - prefix));
    if (!file) return Error{ErrorCode::kIo, "can't be read"};
    return decode_block_header(bytes, size);
}

Json describe(const std::filesystem::path& path, bool verify) {
    std::error_code error;
    const uint64_t size = std::filesystem::file_size(path, error);
    std::ifstream file(path, std::ios::binary);
    if (error || !file) return problem(path, "can't be opened");
    Result<BlockHeader> header = read_header(file, size);
    if (!header.ok()) return problem(path, header.error().message);
    const BlockMeta& meta = header->meta;
    Json json = {{"file", path.string()},         {"key", meta.key.hex()},
                 {"model", meta.model.hex()},     {"provenance", to_string(meta.provenance)},
                 {"rows", meta.n_rows()},         {"frame_row", meta.frame_row},
                 {"layers", meta.layout.n_layer}, {"k_dim", meta.layout.k_dim},
                 {"v_dim", meta.layout.v_dim},    {"bytes", size}};
    if (!verify) return json;
    json["verified"] = true;
    KvBlock block(meta);
    file.seekg(static_cast<std::streamoff>(header->payload_offset));
    file.read(reinterpret_cast<char*>(block.data().data()),
              static_cast<std::streamsize>(block.data().size()));
    if (!file || !payload_intact(*header, block)) return problem(path, "its rows are damaged");
    return json;
}

// Blocks in use: one that is being written is not whole yet, and one set aside is known not to be.
std::vector<std::filesystem::path> block_files(const std::filesystem::path& path) {
    std::error_code error;
    if (!std::filesystem::is_directory(path, error)) return {path};
    std::vector<std::filesystem::path> files;
    for (auto it = std::filesystem::recursive_directory_iterator(
             path, std::filesystem::directory_options::skip_permission_denied, error);
         !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
        const std::filesystem::path name = it->path().filename();
        if (name == kIncomingFolder || name == kSetAsideFolder) it.disable_recursion_pending();
        if (name.extension() == ".kv") files.push_back(it->path());
    }
    std::ranges::sort(files);
    return files;
}

void print_text(const Json& blocks, bool verify) {
    std::vector<std::vector<std::string>> table = {
        {"key", "provenance", "rows", "position", "KiB", "model"}};
    uint64_t bytes = 0;
    for (const Json& block : blocks) {
        if (block.contains("problem")) continue;
        bytes += block["bytes"].get<uint64_t>();
        table.push_back({block["key"], block["provenance"],
                         std::to_string(block["rows"].get<int>()),
                         std::to_string(block["frame_row"].get<int>()),
                         std::to_string(block["bytes"].get<uint64_t>() >> 10), block["model"]});
    }
    std::printf("%s", format_table(table).c_str());
    const size_t n_whole = table.size() - 1, n_damaged = blocks.size() - n_whole;
    std::printf("%zu blocks, %llu MiB\n", n_whole, static_cast<unsigned long long>(bytes >> 20));
    if (!verify) return;
    if (n_damaged > 0) {
        std::printf("verified: %zu of %zu files are damaged\n", n_damaged, blocks.size());
    } else {
        std::printf("verified: header, token ids and all rows of each block are whole\n");
    }
}

int inspect(const std::string& path, bool verify, const std::string& format) {
    std::error_code error;
    if (!std::filesystem::exists(path, error)) {
        std::fprintf(stderr, "spolia inspect: %s does not exist\n", path.c_str());
        return kExitFailure;
    }
    Json blocks = Json::array();
    bool damaged = false;
    for (const std::filesystem::path& file : block_files(path)) {
        blocks.push_back(describe(file, verify));
        const Json& block = blocks.back();
        if (!block.contains("problem")) continue;
        damaged = true;
        std::fprintf(stderr, "%s: %s\n", file.c_str(), block["problem"].get<std::string>().c_str());
    }
    if (format == "json") {
        std::printf("%s\n", blocks.dump(2).c_str());
    } else {
        print_text(blocks, verify);
    }
    return damaged ? kExitFailure : kExitOk;
}

}  // namespace

void add_inspect(CLI::App& app, Run& run) {
    CLI::App* command =
        app.add_subcommand("inspect", "Show what a cache folder or a block file holds");
    command->footer(kAbout);
    const auto path = std::make_shared<std::string>();
    const auto verify = std::make_shared<bool>(false);
    const auto format = std::make_shared<std::string>("text");
    command->add_option("PATH", *path, "a cache folder or a .kv file")->required();
    command->add_flag("--verify", *verify, "also compare the checksums of the rows");
    command->add_option("--format", *format)
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    command->callback([path, verify, format, &run] {
        run = [path, verify, format] { return inspect(*path, *verify, *format); };
    });
}

}  // namespace spolia
