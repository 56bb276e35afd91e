#pragma once

#include <memory>

#include "adapters/text_model.h"

struct common_chat_params;

namespace spolia {

// The parser of the output that a rendered chat asks for. It never fails: output that doesn't have
// the expected form is content.
std::unique_ptr<OutputParser> make_output_parser(const common_chat_params& chat);

}  // namespace spolia
