#pragma once

#include <string_view>

// Why tokens are computed that might have been reused, as receipts name it: see docs/http.md.
namespace spolia::miss_reason {

inline constexpr std::string_view kFirstSight = "first_sight";
inline constexpr std::string_view kQueued = "queued";
inline constexpr std::string_view kUnavailable = "unavailable";
inline constexpr std::string_view kFidelityExact = "fidelity_exact";
inline constexpr std::string_view kUnsupported = "unsupported";
inline constexpr std::string_view kNotProfitable = "not_profitable";
inline constexpr std::string_view kEdgeRow = "edge_row";
inline constexpr std::string_view kTileEdge = "tile_edge";
inline constexpr std::string_view kNoOffsets = "no_offsets";
inline constexpr std::string_view kNeedsFusedPass = "needs_fused_pass";
inline constexpr std::string_view kEdited = "edited";

}  // namespace spolia::miss_reason
