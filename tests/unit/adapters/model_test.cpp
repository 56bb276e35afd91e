#include "adapters/llama/model.h"

#include <gguf.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/support/tiny_models.h"

namespace spolia {
namespace {

using testing::temporary_folder;
using testing::tiny_model;
using testing::tiny_model_path;

std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Writes a file of this process's own and gives its path.
std::string write(const std::string& name, const std::string& bytes) {
    const std::string path = temporary_folder() + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
}

const std::string& tiny_file() {
    static const std::string bytes = read(tiny_model_path(tiny_model_shape("llama")));
    return bytes;
}

void expect_refused(const std::string& path, ErrorCode code) {
    const auto model = LlamaModel::load({path, 0, {}});
    ASSERT_FALSE(model.ok());
    EXPECT_EQ(model.error().code, code) << model.error().message;
    EXPECT_NE(model.error().message.find(path), std::string::npos) << model.error().message;
}

// Already by a look at the file, with the same words.
void expect_refused_early(const std::string& path, ErrorCode code) {
    expect_refused(path, code);
    const Status checked = LlamaModel::check_file(path);
    ASSERT_FALSE(checked.ok());
    EXPECT_EQ(checked.error().code, code);
    EXPECT_EQ(checked.error().message, LlamaModel::load({path, 0, {}}).error().message);
}

Key128 fingerprint_of(const std::string& bytes) {
    const auto model = LlamaModel::load({write("changed.gguf", bytes), 0, {}});
    EXPECT_TRUE(model.ok()) << (model.ok() ? "" : model.error().message);
    return model ? (*model)->file_fingerprint() : Key128{};
}

using GgufPtr = std::unique_ptr<gguf_context, decltype(&gguf_free)>;

GgufPtr header_of(const std::string& path) {
    return {gguf_init_from_file(path.c_str(), {.no_alloc = true, .ctx = nullptr}), gguf_free};
}

TEST(LlamaModel, RefusesWhatIsNoModelFile) {
    expect_refused_early(temporary_folder() + "/nothing.gguf", ErrorCode::kNotFound);
    expect_refused_early(temporary_folder(), ErrorCode::kInvalidArgument);
    expect_refused_early(write("empty.gguf", ""), ErrorCode::kCorrupt);
    expect_refused_early(write("text.gguf", std::string(5000, 'x')), ErrorCode::kCorrupt);
    expect_refused_early(write("magic.gguf", "GGUF"), ErrorCode::kCorrupt);
    EXPECT_TRUE(LlamaModel::check_file(tiny_model_path(tiny_model_shape("llama"))).ok());
}

TEST(LlamaModel, RefusesAFileThatIsCutShort) {
    const std::string& whole = tiny_file();
    const size_t data =
        gguf_get_data_offset(header_of(tiny_model_path(tiny_model_shape("llama"))).get());
    for (const size_t size : {size_t{3}, size_t{20}, size_t{1000}, data / 2, data - 1, data,
                              data + 1, (data + whole.size()) / 2, whole.size() - 4096}) {
        SCOPED_TRACE(size);
        expect_refused_early(write("cut.gguf", whole.substr(0, size)), ErrorCode::kCorrupt);
    }
}

TEST(LlamaModel, RefusesAnArchitectureThatLlamaDoesNotKnow) {
    std::string bytes = tiny_file();
    for (size_t at = bytes.find("llama"); at != std::string::npos; at = bytes.find("llama", at)) {
        bytes.replace(at, 5, "lhama");
    }
    expect_refused(write("unknown.gguf", bytes), ErrorCode::kUnsupported);
}

TEST(LlamaModel, FingerprintChangesWithEveryTensor) {
    const std::string path = tiny_model_path(tiny_model_shape("llama"));
    const GgufPtr header = header_of(path);
    std::set<std::string> seen = {fingerprint_of(tiny_file()).hex()};
    size_t n_changes = 1;
    for (int64_t i = 0; i < gguf_get_n_tensors(header.get()); ++i) {
        const size_t begin =
            gguf_get_data_offset(header.get()) + gguf_get_tensor_offset(header.get(), i);
        const size_t size = gguf_get_tensor_size(header.get(), i);
        for (const size_t at : {size_t{0}, size / 2, size - 1}) {
            std::string changed = tiny_file();
            changed[begin + at] ^= 1;
            seen.insert(fingerprint_of(changed).hex());
            EXPECT_EQ(seen.size(), ++n_changes)
                << gguf_get_tensor_name(header.get(), i) << " " << at;
        }
    }
}

TEST(LlamaModel, FingerprintChangesWithTheMetadata) {
    RandomModelShape shape = tiny_model_shape("llama");
    const Key128 plain = tiny_model(shape).file_fingerprint();
    EXPECT_EQ(fingerprint_of(tiny_file()), plain);
    shape.rope_base = 10001.0f;
    EXPECT_NE(tiny_model(shape).file_fingerprint(), plain);
    shape = tiny_model_shape("llama");
    shape.seed = 2;
    EXPECT_NE(tiny_model(shape).file_fingerprint(), plain);
}

TEST(LlamaModel, ReadsMetadata) {
    const LlamaModel& model = tiny_model("qwen3");
    EXPECT_EQ(model.architecture(), "qwen3");
    EXPECT_EQ(model.meta("general.name"), "random weights");
    EXPECT_EQ(model.meta("general.nothing"), std::nullopt);
    EXPECT_EQ(model.arch_number("attention.head_count"), 4.0);
    EXPECT_EQ(model.arch_number("nothing"), std::nullopt);
    // llama.cpp's own text of it has six digits behind the point.
    EXPECT_EQ(model.arch_number("attention.layer_norm_rms_epsilon"), double{1e-6f});
}

TEST(LlamaModel, ReportsProgress) {
    std::vector<float> seen;
    const auto model = LlamaModel::load({tiny_model_path(tiny_model_shape("llama")), 0,
                                         [&](float progress) { seen.push_back(progress); }});
    ASSERT_TRUE(model.ok());
    ASSERT_FALSE(seen.empty());
    EXPECT_TRUE(std::ranges::is_sorted(seen));
    EXPECT_EQ(seen.back(), 1.0f);
}

}  // namespace
}  // namespace spolia
