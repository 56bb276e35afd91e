#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "broker/rag/document.h"

namespace spolia {

struct DocumentCutterOptions {
    size_t bytes_min = 1200;  // of a chunk, where its section has as many
    size_t bytes_max = 2400;  // at least twice bytes_min; headings count
};

// A piece of a document that is retrieved as a whole.
struct DocumentChunk {
    std::string heading;  // "Title > Section": the path to it; may be empty
    // What becomes a part of a message: the heading, a blank line, and the piece; ends with a line
    // break, so that its last token is the same whatever stands behind it.
    std::string text;
};

// Cuts a document into chunks, in its order. No chunk goes over a section's border, so that the
// same section gives the same chunks in any document. Longer sections are cut at paragraphs, else
// lines, else sentences, else words; among equals the text behind the place decides, so that an
// edit moves the cuts near it only.
void cut_document(const Document& document, const DocumentCutterOptions& options,
                  const std::function<void(DocumentChunk)>& take);

}  // namespace spolia
