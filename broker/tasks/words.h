#pragma once

#include <span>
#include <string_view>

namespace spolia {

// The closed vocabularies that the tasks' texts are made of. No word is in two of them.
std::span<const std::string_view> ship_names();
std::span<const std::string_view> cargo_words();
std::span<const std::string_view> note_labels();
// Ends of sentences that say nothing that is asked for.
std::span<const std::string_view> sentence_tails();
// "one", "two", ...; number_words()[i] is i + 1.
std::span<const std::string_view> number_words();

}  // namespace spolia
