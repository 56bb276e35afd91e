#pragma once

#include <memory>

#include "broker/rag/embedder_choice.h"
#include "index/result.h"
#include "index/text_embedder.h"

namespace spolia {

// open_embedder() for a command: an error also tells which settings to look at, and a server's how
// to go on without.
Result<std::unique_ptr<TextEmbedder>> open_chosen_embedder(const EmbedderChoice& choice,
                                                           EmbedderUse use);

}  // namespace spolia
