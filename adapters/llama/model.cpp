#include "adapters/llama/model.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <vector>

#include "gguf.h"
#include "llama.h"

namespace spolia {
namespace {

thread_local std::string last_error;

void keep_errors(ggml_log_level level, const char* text, void*) {
    if (level != GGML_LOG_LEVEL_ERROR) return;
    std::string_view line = text;
    while (!line.empty() && line.back() == '\n') line.remove_suffix(1);
    if (const size_t colon = line.find(": "); colon != line.npos) line.remove_prefix(colon + 2);
    if (line.empty()) return;
    // The first line names the cause; those behind it tell who gave up because of it.
    if (last_error.empty()) last_error = line;
}

void initialise_backend() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(keep_errors, nullptr);
        llama_backend_init();
    });
}

using GgufPtr = std::unique_ptr<gguf_context, decltype(&gguf_free)>;

// Checks that the file is a whole GGUF, so that a bad file is told apart from a lack of memory.
Result<GgufPtr> read_header(const std::string& path) {
    std::error_code error;
    const auto status = std::filesystem::status(path, error);
    if (!std::filesystem::exists(status)) {
        return Error{ErrorCode::kNotFound, "model file " + path + " does not exist"};
    }
    if (!std::filesystem::is_regular_file(status)) {
        return Error{ErrorCode::kInvalidArgument, "model path " + path + " is not a file"};
    }
    if (!std::ifstream(path, std::ios::binary)) {
        return Error{ErrorCode::kIo, "can't open model file " + path + ": " + std::strerror(errno)};
    }
    GgufPtr gguf(gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}), gguf_free);
    if (!gguf) {
        std::string why = take_llama_error();
        return Error{ErrorCode::kCorrupt, path + " is not a readable GGUF file" +
                                              (why.empty() ? std::string() : " (" + why + ")")};
    }
    const uintmax_t size = std::filesystem::file_size(path, error);
    const size_t data = gguf_get_data_offset(gguf.get());
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf.get()); ++i) {
        const size_t end =
            data + gguf_get_tensor_offset(gguf.get(), i) + gguf_get_tensor_size(gguf.get(), i);
        if (end > size) {
            return Error{ErrorCode::kCorrupt,
                         path + " is cut short: it has " + std::to_string(size) +
                             " bytes, but tensor " + gguf_get_tensor_name(gguf.get(), i) +
                             " ends at byte " + std::to_string(end) + "; download it again"};
        }
    }
    return gguf;
}

Result<Key128> fingerprint_file(const std::string& path, const gguf_context* gguf) {
    constexpr size_t kSampleBytes = 4096;
    std::ifstream file(path, std::ios::binary);
    std::vector<char> bytes(gguf_get_data_offset(gguf));
    file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    const auto sample = [&](size_t offset, size_t n) {
        const size_t old = bytes.size();
        bytes.resize(old + n);
        file.seekg(static_cast<std::streamoff>(gguf_get_data_offset(gguf) + offset));
        file.read(bytes.data() + old, static_cast<std::streamsize>(n));
    };
    for (int64_t i = 0; i < gguf_get_n_tensors(gguf); ++i) {
        const size_t begin = gguf_get_tensor_offset(gguf, i);
        const size_t size = gguf_get_tensor_size(gguf, i);
        const size_t n = std::min(size, kSampleBytes);
        sample(begin, n);
        sample(begin + (size - n) / 2, n);
        sample(begin + size - n, n);
    }
    if (!file) return Error{ErrorCode::kIo, "can't read model file " + path};
    return hash_bytes(std::as_bytes(std::span(bytes)));
}

std::optional<double> number_of(const gguf_context* gguf, int64_t key) {
    switch (gguf_get_kv_type(gguf, key)) {
        case GGUF_TYPE_UINT8: return gguf_get_val_u8(gguf, key);
        case GGUF_TYPE_INT8: return gguf_get_val_i8(gguf, key);
        case GGUF_TYPE_UINT16: return gguf_get_val_u16(gguf, key);
        case GGUF_TYPE_INT16: return gguf_get_val_i16(gguf, key);
        case GGUF_TYPE_UINT32: return gguf_get_val_u32(gguf, key);
        case GGUF_TYPE_INT32: return gguf_get_val_i32(gguf, key);
        case GGUF_TYPE_UINT64: return static_cast<double>(gguf_get_val_u64(gguf, key));
        case GGUF_TYPE_INT64: return static_cast<double>(gguf_get_val_i64(gguf, key));
        case GGUF_TYPE_FLOAT32: return gguf_get_val_f32(gguf, key);
        case GGUF_TYPE_FLOAT64: return gguf_get_val_f64(gguf, key);
        default: return std::nullopt;
    }
}

std::unordered_map<std::string, double> read_numbers(const gguf_context* gguf) {
    std::unordered_map<std::string, double> numbers;
    for (int64_t key = 0; key < gguf_get_n_kv(gguf); ++key) {
        if (const auto number = number_of(gguf, key)) numbers[gguf_get_key(gguf, key)] = *number;
    }
    return numbers;
}

}  // namespace

std::string take_llama_error() { return std::exchange(last_error, {}); }

LlamaModel::LlamaModel(llama_model* model, std::string path, Key128 fingerprint, Numbers numbers)
    : model_(model),
      path_(std::move(path)),
      fingerprint_(fingerprint),
      numbers_(std::move(numbers)) {}

LlamaModel::~LlamaModel() { llama_model_free(model_); }

Result<std::unique_ptr<LlamaModel>> LlamaModel::load(const LlamaModelOptions& options) {
    initialise_backend();
    take_llama_error();
    Result<GgufPtr> gguf = read_header(options.path);
    if (!gguf) return std::move(gguf).error();
    Result<Key128> fingerprint = fingerprint_file(options.path, gguf->get());
    if (!fingerprint) return std::move(fingerprint).error();

    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = options.gpu_layers;
    params.progress_callback = [](float progress, void* user) {
        const auto& report = *static_cast<const std::function<void(float)>*>(user);
        if (report) report(progress);
        return true;
    };
    params.progress_callback_user_data = const_cast<std::function<void(float)>*>(&options.progress);
    llama_model* model = llama_model_load_from_file(options.path.c_str(), params);
    if (model == nullptr) {
        const std::string why = take_llama_error();
        const bool memory = why.find("alloc") != why.npos;
        return Error{memory ? ErrorCode::kOutOfMemory : ErrorCode::kUnsupported,
                     "llama.cpp can't load " + options.path + ": " +
                         (why.empty() ? "no reason given" : why)};
    }
    return std::unique_ptr<LlamaModel>(
        new LlamaModel(model, options.path, *fingerprint, read_numbers(gguf->get())));
}

Status LlamaModel::check_file(const std::string& path) {
    initialise_backend();
    take_llama_error();
    Result<GgufPtr> header = read_header(path);
    return header ? Status() : std::move(header).error();
}

std::optional<std::string> LlamaModel::meta(const std::string& key) const {
    const int32_t length = llama_model_meta_val_str(model_, key.c_str(), nullptr, 0);
    if (length < 0) return std::nullopt;
    std::string value(static_cast<size_t>(length) + 1, '\0');
    llama_model_meta_val_str(model_, key.c_str(), value.data(), value.size());
    value.resize(static_cast<size_t>(length));
    return value;
}

std::string LlamaModel::architecture() const { return meta("general.architecture").value_or(""); }

std::optional<double> LlamaModel::arch_number(const std::string& key) const {
    const auto found = numbers_.find(architecture() + "." + key);
    return found == numbers_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace spolia
