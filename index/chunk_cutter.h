#pragma once

#include <vector>

#include "index/chunker.h"
#include "index/span_map.h"
#include "index/token.h"

namespace spolia {

// Cuts a text that may be reused, `range` of the prompt, into chunks of options.tokens_min to
// tokens_max tokens; what is between them is glue. The prompt's offsets must be usable.
//
// 1. Separators (separators.h) are glue and always cut.
// 2. Between them, of all lines behind blank lines and of all headings, the local maxima within
//    1.5 * tokens_min tokens cut (boundaries.h): paragraphs longer than that stand alone, runs of
//    short ones are put together to about 3 * tokens_min, so that a document of short paragraphs is
//    reused like any other. Where two documents are joined by nothing but a blank line, up to a
//    chunk of each is spoiled: larger windows would spoil more, smaller ones leave more chunks
//    and with them more places where a chunk misses what is before it.
// 3. What is still longer than tokens_max is cut at lines, then at sentences, by the same rule
//    with windows from tokens_max / 4 down to tokens_min; at last after tokens_max tokens.
//
// A chunk's white space at both ends and the punctuation at its end are glue: tokenizers merge
// them with what follows (".\n\n" is often one token), so that the last token would depend on where
// the document stands. For the same reason punctuation directly behind a registered chunk
// (`behind_registered`) opens no chunk.
std::vector<TokenSpan> cut_chunks(const TokenizedText& prompt, TextRange range,
                                  const ChunkerOptions& options, bool behind_registered);

}  // namespace spolia
