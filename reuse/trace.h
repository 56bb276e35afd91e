#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/outline.h"
#include "index/token.h"
#include "reuse/selector.h"

namespace spolia {

// Passive rows on a question's path that may mean something else here than where they were encoded:
// the rest of a sentence, from a word on that earlier text of another chunk speaks of, or a sentence
// that refers back over a chunk's border.
struct TracedRun {
    TokenSpan rows;    // of one sentence, under one unsettled block
    float weight = 0;  // (0, 1]: how near the question and how rare the words that lead there are
};

// Follows rare words from the question to the sentences that share them, from there to others, a few
// hops, and back references to their neighbours. Where it leads nowhere, every sentence is on the
// path. Nothing is computed: a prompt's text is enough.
//
// A row of a causal model holds what stands in front of it, so a sentence needs mending only where
// it shares a word with EARLIER text of ANOTHER chunk, or with a sentence of its own chunk that
// needs mending, and only behind that word. Runs are in the order of the text, disjoint.
std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans);

}  // namespace spolia
