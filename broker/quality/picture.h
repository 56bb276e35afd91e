#pragma once

#include <span>
#include <string>

#include "broker/quality/figures.h"

namespace spolia {

// An SVG of two panels over the share of chunk rows that were recomputed: accuracy, and the first
// token's mean KL to dense. Each series of settings is a line with a point a setting; dense, and
// reuse without mending where it was measured, are horizontal lines. `subtitle` names the model and
// the tasks.
std::string draw_quality(std::span<const WayFigures> ways, const std::string& subtitle);

}  // namespace spolia
