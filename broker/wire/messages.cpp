#include "broker/wire/messages.h"

#include "broker/wire/json.h"

namespace spolia {

std::string messages_json(std::span<const Message> messages) {
    Json array = Json::array();
    for (const Message& message : messages) {
        Json parts = Json::array();
        for (const std::string& part : message.parts) {
            parts.push_back({{"type", "text"}, {"text", part}});
        }
        array.push_back({{"role", message.role}, {"content", std::move(parts)}});
    }
    return dump(array);
}

}  // namespace spolia
