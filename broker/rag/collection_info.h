#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "index/result.h"

namespace spolia {

struct CollectionSize {
    int64_t n_documents = 0;
    int64_t n_chunks = 0;
    int64_t text_bytes = 0;
};

struct CollectionInfo {
    std::string name;
    CollectionSize size;
};

// kInvalidArgument for anything but 1 to 64 letters, digits and -_. that start with no dot: names
// become names of files.
Status check_collection_name(std::string_view name);

}  // namespace spolia
