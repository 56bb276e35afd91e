#pragma once

#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "broker/request.h"
#include "broker/service.h"

namespace spolia {

// Takes a prompt's rows on the engine thread, and tells a thread that waits how it went.
class HandoverSink : public GenerateSink {
public:
    std::future<Result<GenerateOutcome>> outcome() { return outcome_.get_future(); }

    void on_rows(const RowSource& rows) override { taken_ = take(rows); }
    void on_start(const Receipt&) override {}
    void on_text(std::string, Token) override {}
    void on_done(const GenerateOutcome& outcome) override {
        if (taken_) {
            outcome_.set_value(outcome);
        } else {
            outcome_.set_value(taken_.error());
        }
    }
    void on_error(const Error& error) override { outcome_.set_value(error); }

protected:
    virtual Status take(const RowSource& rows) = 0;

private:
    Status taken_;
    std::promise<Result<GenerateOutcome>> outcome_;
};

// Has the rows of a request's prompt handed to a sink, and waits for the end of it, which a stop
// brings about.
inline Result<GenerateOutcome> hand_over(Service& service, GenerateRequest request,
                                         std::shared_ptr<HandoverSink> sink,
                                         const std::stop_token& stop) {
    std::future<Result<GenerateOutcome>> outcome = sink->outcome();
    const Result<GenerationId> id = service.submit(std::move(request), std::move(sink));
    if (!id) return id.error();
    const std::stop_callback cancel(stop, [&] { service.cancel(*id); });
    return outcome.get();
}

}  // namespace spolia
