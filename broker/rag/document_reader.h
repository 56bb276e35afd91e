#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "broker/rag/document.h"
#include "index/result.h"

namespace spolia {

enum class DocumentFormat : uint8_t { kText, kMarkdown, kHtml, kPdf };

// By the name's ending; nullopt for one that is not a document's.
std::optional<DocumentFormat> document_format(const std::filesystem::path& file);

// A document may have so many bytes.
inline constexpr size_t kDocumentBytesMax = size_t{128} << 20;

// `bytes` are the file's. Any bytes are safe: what is not a document of its format is
// kInvalidArgument, with the reason but without the file's name. PDF is read by poppler's program
// pdftotext from the file itself; kUnsupported where it is not installed.
Result<Document> read_document(const std::filesystem::path& file, DocumentFormat format,
                               std::string bytes);

}  // namespace spolia
