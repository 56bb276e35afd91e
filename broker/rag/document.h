#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace spolia {

// A part of a document under one heading.
struct DocumentSection {
    std::vector<std::string> headings;  // the document's title first, its own last; may be empty
    std::string text;                   // without the headings; not only white space
};

struct Document {
    std::vector<DocumentSection> sections;
};

// Bounds the memory that a document of permitted size grows to.
inline constexpr size_t kSectionsMax = 100'000;
// Of one heading; longer ones are cut.
inline constexpr size_t kHeadingBytesMax = 120;

}  // namespace spolia
