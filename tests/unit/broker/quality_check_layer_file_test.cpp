#include "broker/quality/check_layer_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace spolia {
namespace {

class CheckLayerFile : public ::testing::Test {
protected:
    void SetUp() override {
        std::string name =
            (std::filesystem::temp_directory_path() / "spolia_layer_XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        folder_ = name;
        model_.fingerprint = {1, 2};
        model_.kv.n_layer = 8;
        path_ = check_layer_file(folder_, model_.fingerprint);
        record_ = {.layer = 3, .n_prompts = 5, .n_rows = 700, .scores = {{1, 0.5, 0}, {2, 1, 1}}};
    }
    void TearDown() override { std::filesystem::remove_all(folder_); }

    void expect_error(ErrorCode code) {
        const Result<int32_t> layer = read_check_layer(path_, model_);
        ASSERT_FALSE(layer.ok());
        EXPECT_EQ(layer.error().code, code) << layer.error().message;
        EXPECT_EQ(check_layer_of(folder_, model_), kCheckLayerUncalibrated);
    }

    std::filesystem::path folder_, path_;
    ModelInfo model_;
    CheckLayerRecord record_;
};

TEST_F(CheckLayerFile, IsReadAsWritten) {
    expect_error(ErrorCode::kNotFound);
    EXPECT_EQ(path_.parent_path(), folder_ / model_.fingerprint.hex());
    ASSERT_TRUE(write_check_layer(path_, model_, record_).ok());
    EXPECT_EQ(read_check_layer(path_, model_).value(), 3);
    EXPECT_EQ(check_layer_of(folder_, model_), 3);
    EXPECT_EQ(check_layer_of({}, model_), kCheckLayerUncalibrated);

    record_.layer = 2;
    ASSERT_TRUE(write_check_layer(path_, model_, record_).ok());
    EXPECT_EQ(read_check_layer(path_, model_).value(), 2);
}

TEST_F(CheckLayerFile, OfAnotherModelIsRefused) {
    ASSERT_TRUE(write_check_layer(path_, model_, record_).ok());
    model_.kv.n_layer = 3;
    expect_error(ErrorCode::kCorrupt);
    model_.kv.n_layer = 4;
    EXPECT_TRUE(read_check_layer(path_, model_).ok());
    ModelInfo other = model_;
    other.fingerprint = {1, 3};
    EXPECT_EQ(read_check_layer(path_, other).error().code, ErrorCode::kCorrupt);
}

TEST_F(CheckLayerFile, DamageIsRefused) {
    ASSERT_TRUE(write_check_layer(path_, model_, record_).ok());
    const std::string model = R"({"model": ")" + model_.fingerprint.hex() + R"(")";
    for (const std::string& text :
         {std::string(), std::string("[]"), std::string(R"({"check_layer": 3})"), model,
          model + "}", model + R"(, "check_layer": "3"})", model + R"(, "check_layer": 0})",
          model + R"(, "check_layer": 2.5})", model + R"(, "check_layer": -9999999999999})"}) {
        SCOPED_TRACE(text);
        std::ofstream(path_) << text;
        expect_error(ErrorCode::kCorrupt);
    }
}

TEST_F(CheckLayerFile, SaysWhereItCanNotBeWritten) {
    std::ofstream(folder_ / "file") << "x";
    const Status status = write_check_layer(folder_ / "file" / "layer.json", model_, record_);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kIo);
    EXPECT_NE(status.error().message.find("file"), std::string::npos);
}

}  // namespace
}  // namespace spolia
