#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapters/text_model.h"
#include "index/result.h"

struct common_chat_templates;
struct llama_model;
struct llama_vocab;

namespace spolia {

// A model's Jinja chat template. Thread-safe.
class ChatTemplate {
public:
    // `model` outlives the template. `override_source` is used in place of the model's own; where
    // there is neither, ChatML.
    static Result<std::unique_ptr<ChatTemplate>> create(const llama_model* model,
                                                        const std::string& override_source);
    ~ChatTemplate();

    // False for the ChatML that stands in for a missing one.
    bool is_explicit() const;
    // Words of the output format, such as "<tool_call>". Where one is a control token, its text
    // must get to the output parser all the same.
    const std::vector<std::string>& markers() const { return markers_; }

    Result<RenderedChat> render(const ChatRequest& request) const;

private:
    struct TemplatesDeleter {
        void operator()(common_chat_templates* templates) const;
    };
    using Templates = std::unique_ptr<common_chat_templates, TemplatesDeleter>;

    ChatTemplate(const llama_vocab* vocab, Templates templates);

    const llama_vocab* vocab_;
    Templates templates_;
    std::vector<std::string> markers_;
};

}  // namespace spolia
