#pragma once

#include <memory>

#include "index/text_embedder.h"

namespace spolia {

// The embedder that needs no model: texts are alike when they share words, pairs of words and
// parts of words, in any language. 384 dimensions. Letters of different case and different
// compositions of one letter (Unicode's NFC) are the same. A vector depends on its text alone: how
// much a word counts is a matter of its kind, not of other texts. Never fails.
//
// It sees words, not meanings: a paraphrase in other words is a stranger to it, and a negated
// sentence is almost its own original.
std::unique_ptr<TextEmbedder> make_hashed_embedder();

}  // namespace spolia
