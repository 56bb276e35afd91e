#include "broker/rag/retrieved_chunk.h"

#include <algorithm>
#include <tuple>

namespace spolia {

void put_in_document_order(std::vector<RetrievedChunk>& chunks) {
    std::ranges::sort(chunks, [](const RetrievedChunk& a, const RetrievedChunk& b) {
        return std::tie(a.chunk.path, a.chunk.ordinal) < std::tie(b.chunk.path, b.chunk.ordinal);
    });
}

}  // namespace spolia
