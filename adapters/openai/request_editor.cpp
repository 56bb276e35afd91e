#include "adapters/openai/request_editor.h"

#include <vector>

#include "adapters/openai/body_edits.h"

namespace spolia {

std::string tenant_cache_salt(std::string_view tenant, std::string_view client_salt,
                              std::string_view secret) {
    std::string inner = hash_text(secret).hex() + std::string(tenant);
    if (!client_salt.empty()) inner.append(1, '\0').append(client_salt);
    return hash_text(hash_text(secret).hex() + hash_text(inner).hex()).hex();
}

std::optional<std::string> RequestEditor::edit(std::string_view body, ByteRange root,
                                               std::string_view cache_salt) {
    if (json_kind(body, root) != '{') return std::nullopt;
    std::vector<BodyEdit> edits;
    if (options_.stable_tools) sort_tools(body, root, edits);
    if (options_.document_order) documents_.sort_documents(body, root, edits);
    if (!options_.separator.empty()) insert_separators(body, root, options_.separator, edits);
    if (options_.remove_spolia) remove_member(body, root, "spolia", edits);
    if (!cache_salt.empty()) {
        bool kept = false;
        for (const JsonMember& member : json_members(body, root)) {
            kept = kept || !options_.remove_spolia || json_string(body, member.key) != "spolia";
        }
        set_member(body, root, "cache_salt", cache_salt, kept, edits);
    }
    if (edits.empty()) return std::nullopt;
    return apply_edits(body, std::move(edits));
}

}  // namespace spolia
