#include "adapters/llama_server/slot_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fake_llama_server.h"
#include "tests/support/test_folder.h"

namespace spolia {
namespace {

using ::testing::HasSubstr;

class SlotProbeTest : public ::testing::Test {
protected:
    SlotProbeTest() { server_.directory = folder_.path; }

    Result<SlotFileForm> probe() {
        return probe_slots(LlamaServerClient(server_.call()), {.folder = *slots_,
                                                               .layout = server_.form.layout,
                                                               .tokens = tokens_,
                                                               .slot = 1,
                                                               .check_rows = check_rows_});
    }
    std::string refusal() {
        const Result<SlotFileForm> form = probe();
        return form.ok() ? "" : form.error().message;
    }
    size_t n_files() const {
        return static_cast<size_t>(
            std::distance(std::filesystem::directory_iterator(folder_.path), {}));
    }

    const test::TestFolder folder_;
    const std::unique_ptr<SlotFolder> slots_ = *SlotFolder::open(folder_.path);
    const std::vector<Token> tokens_ = {11, 12, 13, 14};
    test::FakeLlamaServer server_;
    decltype(SlotProbe::check_rows) check_rows_;
};

TEST_F(SlotProbeTest, LearnsTheFormFromTheServersOwnFile) {
    for (const uint32_t version : {2u, 3u, 4u}) {
        for (const int32_t n_stream : {1, 2}) {
            server_.form.version = version;
            server_.form.n_stream = n_stream;
            server_.form.packed = version > 2;
            const Result<SlotFileForm> form = probe();
            ASSERT_TRUE(form.ok()) << form.error().message;
            EXPECT_EQ(form->version, version);
            EXPECT_EQ(form->n_stream, n_stream);
        }
    }
    EXPECT_EQ(n_files(), 0);
}

TEST_F(SlotProbeTest, RefusesServersThatBringBackWhatWasThere) {
    server_.keeps_prompts = true;
    EXPECT_THAT(refusal(), HasSubstr("--cache-ram 0"));
    EXPECT_EQ(n_files(), 0);
}

TEST_F(SlotProbeTest, SaysWhatToChangeOnTheServer) {
    server_.directory.clear();
    EXPECT_THAT(refusal(), HasSubstr("--slot-save-path " + folder_.path.string()));
    server_.directory = folder_.path;
    server_.saves_nothing = true;
    EXPECT_THAT(refusal(), HasSubstr("same folder"));
    server_.saves_nothing = false;
    server_.form.v_trans = 1;
    EXPECT_THAT(refusal(), HasSubstr("--flash-attn on"));
    EXPECT_EQ(n_files(), 0);
}

TEST_F(SlotProbeTest, BelievesOnlyWhatIsReused) {
    server_.ignores_restored = true;
    EXPECT_THAT(refusal(), HasSubstr("computes what was restored"));
    EXPECT_EQ(n_files(), 0);
}

TEST_F(SlotProbeTest, HasTheServersRowsLookedAt) {
    int32_t next = 0;
    check_rows_ = [&](int32_t layer, std::span<const uint16_t> k, std::span<const uint16_t> v) {
        EXPECT_EQ(layer, next++);
        EXPECT_EQ(k.size(), 4 * 4);
        EXPECT_EQ(v.size(), 4 * 2);
        EXPECT_EQ(k[3 * 4], test::SlotBytes::value(layer, 3, false));
        EXPECT_EQ(v[3 * 2], test::SlotBytes::value(layer, 3, true));
        return Status();
    };
    ASSERT_TRUE(probe().ok());
    EXPECT_EQ(next, 2);
    check_rows_ = [](int32_t, std::span<const uint16_t>, std::span<const uint16_t>) -> Status {
        return invalid("another model's");
    };
    EXPECT_EQ(refusal(), "another model's");
    EXPECT_EQ(n_files(), 0);
}

TEST_F(SlotProbeTest, PassesOnThatTheServerIsGone) {
    server_.gone = true;
    EXPECT_THAT(refusal(), HasSubstr("no answer"));
}

}  // namespace
}  // namespace spolia
