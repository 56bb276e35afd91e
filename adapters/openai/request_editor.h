#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "adapters/openai/document_order.h"

namespace spolia {

// What may be changed in requests on their way to a server.
struct RequestEditOptions {
    bool stable_tools = false;
    bool document_order = false;
    std::string separator;      // between parts of messages; empty: none
    bool remove_spolia = true;  // the member of that name, which servers may refuse
};

// What `cache_salt` says in requests of a tenant, in place of what its client gave (or empty), and
// without naming it. Those who know the secret can tell whose it is, and nobody else can.
std::string tenant_cache_salt(std::string_view tenant, std::string_view client_salt,
                              std::string_view secret);

// Changes the bodies of requests as the options say; what they do not name stays byte for byte as
// the client wrote it. Thread-safe.
class RequestEditor {
public:
    explicit RequestEditor(RequestEditOptions options) : options_(std::move(options)) {}

    // The body to send in place of `body`; nullopt where that is to be sent as it is. `cache_salt`
    // is set unless empty. `root` is what json_document() gave.
    std::optional<std::string> edit(std::string_view body, ByteRange root,
                                    std::string_view cache_salt);

private:
    const RequestEditOptions options_;
    DocumentOrder documents_;
};

}  // namespace spolia
