#include "broker/rag/document_cutter.h"

#include <algorithm>
#include <cassert>
#include <tuple>
#include <vector>

#include "broker/rag/document_builder.h"
#include "index/boundaries.h"
#include "index/lines.h"

namespace spolia {
namespace {

// Of a chunk, at most; of longer paths the last headings are kept.
constexpr size_t kHeadingShare = 4;

std::string heading_path(const std::vector<std::string>& headings, size_t bytes_max) {
    std::string path;
    for (auto heading = headings.rbegin(); heading != headings.rend(); ++heading) {
        const std::string longer = path.empty() ? *heading : *heading + " > " + path;
        if (longer.size() > bytes_max) break;
        path = longer;
    }
    return path;
}

// The end of the last whole word before `end`, or of the last whole character.
size_t word_end(std::string_view text, size_t end) {
    size_t at = end;
    while (at > end / 2 && !is_space(text[at])) --at;
    return is_space(text[at]) ? at : utf8_prefix(text, end).size();
}

// Where the first piece of a text ends that is longer than bytes_max.
size_t cut_of(std::string_view text, size_t bytes_min, size_t bytes_max) {
    // What is left is a piece of at least bytes_min, too.
    const size_t last = std::min(bytes_max, text.size() - bytes_min);
    // Boundaries are judged by what is behind them, too.
    const std::string_view window = utf8_prefix(text, 2 * bytes_max);
    std::vector<Boundary> places = line_boundaries(window);
    const std::vector<Boundary> sentences = sentence_boundaries(window);
    places.insert(places.end(), sentences.begin(), sentences.end());
    const Boundary* best = nullptr;
    for (const Boundary& place : places) {
        if (place.position < bytes_min || place.position > last) continue;
        const bool better =
            best == nullptr || std::tie(place.rank, place.hash) > std::tie(best->rank, best->hash);
        if (better) best = &place;
    }
    return best != nullptr ? best->position : word_end(text, last);
}

}  // namespace

void cut_document(const Document& document, const DocumentCutterOptions& options,
                  const std::function<void(DocumentChunk)>& take) {
    assert(options.bytes_min > 0 && options.bytes_max >= 2 * options.bytes_min);
    for (const DocumentSection& section : document.sections) {
        const std::string heading =
            heading_path(section.headings, options.bytes_max / kHeadingShare);
        const std::string head = heading.empty() ? std::string() : heading + "\n\n";
        const size_t bytes_max = options.bytes_max - head.size() - 1;
        const size_t bytes_min = std::min(options.bytes_min, bytes_max / 2);
        std::string_view rest = trim_spaces(section.text);
        while (!rest.empty()) {
            const bool whole = rest.size() <= bytes_max;
            const size_t end = whole ? rest.size() : cut_of(rest, bytes_min, bytes_max);
            take({heading, head + std::string(trim_spaces(rest.substr(0, end))) + "\n"});
            rest = trim_spaces(rest.substr(end));
        }
    }
}

}  // namespace spolia
