#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "index/fingerprint.h"

namespace spolia {

// A chunk as a collection keeps it.
struct StoredChunk {
    Key128 key;           // of the document's path, its place in the document, and the text
    std::string source;   // what clients see of the path: from the folder on that was ingested
    std::string heading;  // the path of headings to it
    std::string text;
    std::string path;     // of the document, see DocumentStamp
    int64_t ordinal = 0;  // in the document, from 0
};

struct RetrievedChunk {
    StoredChunk chunk;
    double score = 0;  // see fuse_ranks()
};

// So many may be asked for at once.
inline constexpr int32_t kRetrievedMax = 64;

// As they stand in their documents, in place of best first.
void put_in_document_order(std::vector<RetrievedChunk>& chunks);

}  // namespace spolia
