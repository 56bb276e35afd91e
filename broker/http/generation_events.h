#pragma once

#include <memory>
#include <string>

#include "broker/http/mailbox.h"
#include "broker/http/reply.h"
#include "broker/request.h"

namespace spolia {

using GenerationMailbox = Mailbox<GenerationEvent>;

// Hands a generation's events from the engine thread over to a connection.
class MailboxSink : public GenerateSink {
public:
    explicit MailboxSink(std::shared_ptr<GenerationMailbox> mailbox)
        : mailbox_(std::move(mailbox)) {}

    void on_start(const Receipt& receipt) override { mailbox_->put(receipt, 0); }
    void on_text(std::string text, Token) override {
        const size_t bytes = text.size() + kEventBytes;
        mailbox_->put(TextEvent{std::move(text)}, bytes);
    }
    void on_done(const GenerateOutcome& outcome) override { mailbox_->put(outcome, 0); }
    void on_error(const Error& error) override { mailbox_->put(error, 0); }

private:
    // Many short texts cost more than their characters.
    static constexpr size_t kEventBytes = sizeof(GenerationEvent);

    const std::shared_ptr<GenerationMailbox> mailbox_;
};

}  // namespace spolia
