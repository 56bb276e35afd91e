#include "broker/wire/fields.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace spolia {
namespace {

std::string shown(double number) {
    std::ostringstream text;
    text << number;
    return text.str();
}

// "0 to 2", "at least 1": how a range reads in a message.
template <class T>
std::string range_text(T min, T max) {
    const auto show = [](T bound) {
        if constexpr (std::is_integral_v<T>)
            return std::to_string(bound);
        else
            return shown(bound);
    };
    if (max == std::numeric_limits<T>::max()) return "at least " + show(min);
    return "from " + show(min) + " to " + show(max);
}

}  // namespace

Fields::Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {}

const Json* Fields::any(const char* name) {
    if (std::ranges::find(names_, name) == names_.end()) names_.emplace_back(name);
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::refuse_others() {
    for (const auto& [name, value] : object_.items()) {
        if (std::ranges::find(names_, name) != names_.end()) continue;
        std::string known;
        for (const std::string& each : names_) known += (known.empty() ? "" : ", ") + each;
        return fail(name, "is not known here; there are " + known);
    }
}

std::string Fields::path_of(std::string_view name) const {
    if (path_.empty()) return std::string(name);
    return name.empty() ? path_ : path_ + "." + std::string(name);
}

void Fields::fail(std::string_view name, std::string message) {
    if (fault_) return;
    const std::string path = path_of(name);
    fault_ = bad_request("'" + path + "' " + message, path);
}

void Fields::fail_with(ApiError error) {
    if (!fault_) fault_ = std::move(error);
}

void Fields::adopt(const Fields& other) {
    if (!fault_) fault_ = other.fault_;
}

std::optional<bool> Fields::boolean(const char* name) {
    const Json* value = any(name);
    if (value == nullptr) return std::nullopt;
    if (value->is_boolean()) return value->get<bool>();
    fail(name, "must be true or false");
    return std::nullopt;
}

std::optional<int64_t> Fields::integer(const char* name, int64_t min, int64_t max) {
    const Json* value = any(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_integer()) {
        fail(name, "must be a whole number");
        return std::nullopt;
    }
    const bool too_big = value->is_number_unsigned() &&
                         value->get<uint64_t>() > uint64_t{std::numeric_limits<int64_t>::max()};
    const int64_t number = too_big ? 0 : value->get<int64_t>();
    if (too_big || number < min || number > max) {
        fail(name, "must be " + range_text(min, max));
        return std::nullopt;
    }
    return number;
}

std::optional<double> Fields::number(const char* name, double min, double max) {
    const Json* value = any(name);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number()) {
        fail(name, "must be a number");
        return std::nullopt;
    }
    const double number = value->get<double>();
    if (!std::isfinite(number) || number < min || number > max) {
        fail(name, "must be " + range_text(min, max));
        return std::nullopt;
    }
    return number;
}

const std::string* Fields::string(const char* name) {
    const Json* value = any(name);
    if (value == nullptr) return nullptr;
    if (value->is_string()) return &value->get_ref<const std::string&>();
    fail(name, "must be a string");
    return nullptr;
}

const Json* Fields::object(const char* name) {
    const Json* value = any(name);
    if (value == nullptr || value->is_object()) return value;
    fail(name, "must be an object");
    return nullptr;
}

const Json* Fields::array(const char* name) {
    const Json* value = any(name);
    if (value == nullptr || value->is_array()) return value;
    fail(name, "must be an array");
    return nullptr;
}

}  // namespace spolia
