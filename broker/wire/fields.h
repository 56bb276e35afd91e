#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/wire/api_error.h"
#include "broker/wire/json.h"

namespace spolia {

// Reads members of a JSON object and keeps the first complaint, so that a parser can read all it
// wants and look once. Absent and null members read as nothing, and so do wrong ones.
class Fields {
public:
    // `path` names the object in complaints: "spolia", "messages[2]"; empty for the body.
    explicit Fields(const Json& object, std::string path = {});

    std::optional<bool> boolean(const char* name);
    std::optional<int64_t> integer(const char* name, int64_t min, int64_t max);
    std::optional<double> number(const char* name, double min, double max);
    const std::string* string(const char* name);
    const Json* object(const char* name);
    const Json* array(const char* name);
    // Of any type; null is absent.
    const Json* any(const char* name);
    // Complains of a member that no call above named. For objects that are ours alone: there a
    // misspelt name would pass as its default.
    void refuse_others();

    // "path.name"
    std::string path_of(std::string_view name) const;
    void fail(std::string_view name, std::string message);
    void fail_with(ApiError error);
    // Takes over another reader's complaint.
    void adopt(const Fields& other);

    bool ok() const { return !fault_; }
    const ApiError& fault() const { return *fault_; }

private:
    const Json& object_;
    std::string path_;
    std::vector<std::string> names_;  // that were asked for
    std::optional<ApiError> fault_;
};

}  // namespace spolia
