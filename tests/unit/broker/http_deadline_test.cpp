#include "broker/http/deadline.h"

#include <chrono>

#include <gtest/gtest.h>
#include <boost/asio/io_context.hpp>

namespace spolia {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// A run ends once no timer is left.
class DeadlineTest : public ::testing::Test {
protected:
    boost::asio::io_context io_;
    const std::shared_ptr<Deadline> deadline_ = std::make_shared<Deadline>(io_.get_executor());
    int n_first_ = 0, n_second_ = 0;
};

TEST_F(DeadlineTest, OnlyTheLastOneExpires) {
    deadline_->set(milliseconds(1), [&] { ++n_first_; });
    deadline_->set(milliseconds(3), [&] { ++n_second_; });
    io_.run();
    EXPECT_EQ(n_first_, 0);
    EXPECT_EQ(n_second_, 1);
}

TEST_F(DeadlineTest, MayComeCloser) {
    deadline_->set(hours(1), [&] { ++n_first_; });
    deadline_->set(milliseconds(1), [&] { ++n_second_; });
    io_.run();
    EXPECT_EQ(n_first_, 0);
    EXPECT_EQ(n_second_, 1);
}

TEST_F(DeadlineTest, MayBeSetWhereItExpires) {
    deadline_->set(milliseconds(1), [&] {
        ++n_first_;
        deadline_->set(milliseconds(1), [&] { ++n_second_; });
    });
    io_.run();
    EXPECT_EQ(n_first_, 1);
    EXPECT_EQ(n_second_, 1);
}

TEST_F(DeadlineTest, DoesNotExpireOnceCleared) {
    deadline_->set(milliseconds(1), [&] { ++n_first_; });
    deadline_->clear();
    io_.run();
    EXPECT_EQ(n_first_, 0);
}

TEST_F(DeadlineTest, LetsGoOfItsTimerWhenStopped) {
    deadline_->set(hours(1), [&] { ++n_first_; });
    deadline_->stop();
    io_.run();
    EXPECT_EQ(n_first_, 0);
}

}  // namespace
}  // namespace spolia
