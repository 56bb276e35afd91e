#include "broker/rag/document_reader.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "broker/rag/document_builder.h"
#include "broker/rag/html_reader.h"
#include "broker/rag/markdown_reader.h"
#include "broker/rag/plain_text.h"
#include "broker/rag/program_output.h"
#include "index/lines.h"

namespace spolia {
namespace {

constexpr std::pair<std::string_view, DocumentFormat> kEndings[] = {
    {".txt", DocumentFormat::kText},    {".text", DocumentFormat::kText},
    {".rst", DocumentFormat::kText},    {".adoc", DocumentFormat::kText},
    {".md", DocumentFormat::kMarkdown}, {".markdown", DocumentFormat::kMarkdown},
    {".html", DocumentFormat::kHtml},   {".htm", DocumentFormat::kHtml},
    {".xhtml", DocumentFormat::kHtml},  {".pdf", DocumentFormat::kPdf},
};

Result<Document> read_text(std::string_view text) {
    DocumentBuilder builder;
    builder.text(text);
    return std::move(builder).finish();
}

Result<std::string> pdf_text(const std::filesystem::path& file, std::string_view bytes) {
    if (bytes.substr(0, 1024).find("%PDF-") == bytes.npos) return invalid("it is no PDF file");
    ProgramLimits limits;
    limits.output_bytes_max = kDocumentBytesMax;
    Result<std::string> text = program_output(
        {"pdftotext", "-q", "-enc", "UTF-8", std::filesystem::absolute(file).string(), "-"},
        limits);
    if (!text.ok() && text.error().code == ErrorCode::kNotFound) {
        return Error{ErrorCode::kUnsupported,
                     "reading PDF takes poppler's pdftotext, which is not installed (on Debian: "
                     "apt-get install poppler-utils)"};
    }
    if (!text.ok()) return text;
    // Page breaks.
    std::ranges::replace(*text, '\f', '\n');
    return text;
}

}  // namespace

std::optional<DocumentFormat> document_format(const std::filesystem::path& file) {
    std::string ending = file.extension().string();
    std::ranges::transform(ending, ending.begin(), to_lower);
    for (const auto& [known, format] : kEndings) {
        if (known == ending) return format;
    }
    return std::nullopt;
}

Result<Document> read_document(const std::filesystem::path& file, DocumentFormat format,
                               std::string bytes) {
    if (format == DocumentFormat::kPdf) {
        Result<std::string> text = pdf_text(file, bytes);
        if (!text.ok()) return text.error();
        bytes = *std::move(text);
    }
    const Result<std::string> text = plain_text(std::move(bytes));
    if (!text.ok()) return text.error();
    switch (format) {
        case DocumentFormat::kMarkdown: return read_markdown(*text);
        case DocumentFormat::kHtml: return read_html(*text);
        case DocumentFormat::kText:
        case DocumentFormat::kPdf: break;
    }
    return read_text(*text);
}

}  // namespace spolia
