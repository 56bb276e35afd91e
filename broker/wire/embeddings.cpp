#include "broker/wire/embeddings.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "broker/wire/json.h"

namespace spolia {
namespace {

constexpr size_t kFailureBytesMax = 300;
constexpr size_t kDimsMax = size_t{1} << 16;

Error corrupt(const std::string& what) { return {ErrorCode::kCorrupt, what}; }

const Json* member(const Json& json, const char* name) {
    if (!json.is_object()) return nullptr;
    const auto found = json.find(name);
    return found == json.end() ? nullptr : &*found;
}

Status read_vector(const Json& numbers, std::span<float> vector) {
    for (size_t d = 0; d < vector.size(); ++d) {
        const Json& number = numbers[d];
        const double value =
            number.is_number() ? number.get<double>() : std::numeric_limits<double>::quiet_NaN();
        vector[d] = static_cast<float>(value);
        if (!std::isfinite(vector[d])) {
            return corrupt("number " + std::to_string(d) + " of a vector is no finite number");
        }
    }
    return {};
}

}  // namespace

std::string embeddings_body(std::string_view model, std::span<const std::string_view> texts) {
    Json body;
    if (!model.empty()) body["model"] = model;
    body["input"] = Json::array();
    for (const std::string_view text : texts) body["input"].push_back(text);
    body["encoding_format"] = "float";
    return dump(body);
}

Result<std::vector<float>> parse_embeddings(std::string_view body, size_t n_texts, size_t n_dims) {
    const Json json = Json::parse(body, nullptr, false);
    if (json.is_discarded()) return corrupt("the answer is no JSON: " + failure_text(body));
    const Json* data = member(json, "data");
    if (data == nullptr || !data->is_array()) {
        return corrupt("the answer has no array `data`: " + failure_text(body));
    }
    if (data->size() != n_texts) {
        return corrupt("the answer has " + std::to_string(data->size()) + " vectors for " +
                       std::to_string(n_texts) + " texts");
    }
    std::vector<float> vectors;
    std::vector<bool> seen(n_texts);
    for (const Json& entry : *data) {
        const Json* index = member(entry, "index");
        const Json* numbers = member(entry, "embedding");
        if (index == nullptr || !index->is_number_unsigned() || numbers == nullptr ||
            !numbers->is_array()) {
            return corrupt(
                "an entry of the answer's `data` lacks `index`, or the array "
                "`embedding`");
        }
        const auto i = index->get<uint64_t>();
        if (i >= n_texts || seen[i]) {
            return corrupt("the answer's `index` " + std::to_string(i) +
                           " is there twice, or is none of the texts'");
        }
        seen[i] = true;
        if (n_dims == 0) n_dims = numbers->size();
        if (numbers->size() != n_dims || n_dims == 0 || n_dims > kDimsMax) {
            return corrupt("a vector has " + std::to_string(numbers->size()) + " dimensions, " +
                           "expected " + std::to_string(n_dims));
        }
        vectors.resize(n_texts * n_dims);
        Status read = read_vector(*numbers, std::span(vectors).subspan(i * n_dims, n_dims));
        if (!read.ok()) return read.error();
    }
    return vectors;
}

std::string failure_text(std::string_view body) {
    const Json json = Json::parse(body, nullptr, false);
    const Json* text = member(json, "error");
    if (text != nullptr && text->is_object()) text = member(*text, "message");
    for (const char* name : {"message", "detail"}) {
        if (text == nullptr || !text->is_string()) text = member(json, name);
    }
    std::string line =
        text != nullptr && text->is_string() ? text->get<std::string>() : std::string(body);
    for (char& c : line) {
        if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = ' ';
    }
    if (line.size() > kFailureBytesMax) line.resize(kFailureBytesMax);
    return line.empty() ? "no reason given" : line;
}

}  // namespace spolia
