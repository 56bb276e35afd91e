#pragma once

#include "index/result.h"

namespace spolia {

// Prints how many generated questions the sample model answers right: dense, and with chunks that
// were encoded alone and put together. Takes a few seconds.
Status print_sample_answers(int n_threads);

}  // namespace spolia
