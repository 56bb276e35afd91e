#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/outline.h"
#include "index/token.h"
#include "reuse/selector.h"

namespace spolia {

// Passive rows on a question's path, which may mean something else here than where they were
// encoded: those of one sentence, under one unsettled block.
struct TracedRun {
    TokenSpan rows;
    // (0, 1]: how near the question they are, and how rare the words that lead there, times how
    // much they lean on other chunks.
    float weight = 0;
};

// Follows rare words from the question to the sentences that share them, from there to others, a
// few hops, and back references to their neighbours. Where it leads nowhere, every sentence is on
// the path. Nothing is computed: a prompt's text is enough.
//
// A row of a causal model holds what stands in front of it. So a sentence leans on other chunks
// where it shares a word with EARLIER text of ANOTHER chunk, refers back over its chunk's border,
// or leans on a sentence of its own chunk that does. One that leans on none weighs less. Runs are
// in the order of the text, disjoint.
std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans);

}  // namespace spolia
