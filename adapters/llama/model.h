#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "index/fingerprint.h"
#include "index/result.h"

struct llama_model;

namespace spolia {

struct LlamaModelOptions {
    std::string path;
    int32_t gpu_layers = 0;  // layers kept on a GPU; < 0: all
    // Called with 0 .. 1 while weights are read; may be empty.
    std::function<void(float)> progress;
};

// A GGUF file loaded by llama.cpp. Immutable, may be used from any thread.
class LlamaModel {
public:
    // Fails with kNotFound (no such file), kCorrupt (not a GGUF, or cut short), kUnsupported (an
    // architecture that this llama.cpp does not know), kOutOfMemory or kIo.
    static Result<std::unique_ptr<LlamaModel>> load(const LlamaModelOptions& options);
    // What load() finds out first, in a moment: whether the file is there and is a whole GGUF.
    // Fails with kNotFound, kInvalidArgument (not a file), kCorrupt or kIo.
    static Status check_file(const std::string& path);
    ~LlamaModel();
    LlamaModel(const LlamaModel&) = delete;
    LlamaModel& operator=(const LlamaModel&) = delete;

    llama_model* get() const { return model_; }
    const std::string& path() const { return path_; }
    // Hash of the file's header (metadata and tensor names, types, shapes) and of samples of every
    // tensor's data: the whole file would take seconds to read, and fine-tunes differ everywhere.
    const Key128& file_fingerprint() const { return fingerprint_; }

    std::string architecture() const;
    // Value of a metadata key as text; nullopt when the file has none.
    std::optional<std::string> meta(const std::string& key) const;
    // Value of "<architecture>.<key>" as a number.
    std::optional<double> arch_number(const std::string& key) const;

private:
    using Numbers = std::unordered_map<std::string, double>;
    LlamaModel(llama_model* model, std::string path, Key128 fingerprint, Numbers numbers);

    llama_model* model_;
    std::string path_;
    Key128 fingerprint_;
    // The file's scalar numbers: llama.cpp gives them as text, with six digits behind the point.
    Numbers numbers_;
};

// First error that llama.cpp logged on this thread since the last call, without its function name
// and line end; empty when there was none. Used to say why a call failed.
std::string take_llama_error();

}  // namespace spolia
