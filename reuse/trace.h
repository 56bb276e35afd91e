#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "index/outline.h"
#include "index/token.h"
#include "reuse/selector.h"

namespace spolia {

// The most that a run off the question's path weighs; less than any on it.
inline constexpr float kWeightOffPath = 0.05f;

// Passive rows which may mean something else here than where they were encoded: those of one
// sentence, under one unsettled block.
struct TracedRun {
    TokenSpan rows;
    // (0, 1]: how near the question they are, and how rare the words that lead there, times how
    // much they lean on text in front of their chunk.
    float weight = 0;
};

// Follows rare words from the question to the sentences that share them, from there to others, a
// few hops, and back references to their neighbours. Where it leads nowhere, every sentence is on
// the path. Nothing is computed: a prompt's text is enough.
//
// A row of a causal model holds what stands in front of it. So a path goes to earlier text, and
// with less weight to later text, unless the question is about all there is. And a sentence leans
// on what its block was made without where it shares a rare word with EARLIER text of ANOTHER
// chunk, refers back over its chunk's border, or leans on a sentence of its own chunk that does.
// Text that the block did attend to where it was made (PassiveSpan::known) counts as text of its
// own chunk; words that it shares with text it attended to only there count like those of another
// chunk. A sentence that was edited since its block was made leans on the edit. One that leans on
// nothing weighs less; off the path one that leans on something weighs next to nothing, for its
// risk: words do not show all that a question is about.
//
// Only the text of chunks counts, whether they are reused or not. System text, glue and query are
// computed in their place, so they hold nothing stale to mend or to follow; that instructions share
// a word with a chunk does not make its sentences lean on them. What a back reference at a chunk's
// head leans on may be such text; it leads to the chunk in front of that.
//
// Runs are in the order of the text, disjoint.
std::vector<TracedRun> trace_question(const PromptOutline& outline,
                                      std::span<const PassiveSpan> spans);

}  // namespace spolia
