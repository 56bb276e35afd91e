#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "index/fingerprint.h"
#include "index/result.h"
#include "index/token.h"

namespace spolia {

struct RegisteredChunk {
    std::string tenant;
    std::string name;  // the client's; may be empty
    Key128 key;        // chunk_key() of model, tenant and tokens; not in the file
    std::vector<Token> tokens;
};

// Layout, little endian: "SPOLREG1"; 16 bytes of model fingerprint (high, low); u32 number of
// chunks; per chunk u32 length and bytes of the tenant, the same of the name, u32 number of tokens,
// i32 each; at last 16 bytes (high, low) of hash_bytes() of all before.

std::string format_registry(const Key128& model, std::span<const RegisteredChunk* const> chunks);
// Replaces the file in one step: a crash leaves the old one or the new one.
Status write_registry_file(const std::filesystem::path& path, std::string_view bytes);

// kNotFound: no such file. kCorrupt: damaged, or of another model.
Result<std::vector<RegisteredChunk>> read_registry_file(const std::filesystem::path& path,
                                                        const Key128& model);

}  // namespace spolia
