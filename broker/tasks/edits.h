#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace spolia {

// How one version of a note differs from another.
enum class EditKind {
    kWords1,      // one word in a hundred is another of its class, by chance
    kWords5,      // one in twenty
    kWords20,     // one in five
    kInsertion,   // has a sentence more
    kDeletion,    // lacks a sentence
    kMove,        // a sentence stands elsewhere
    kFact,        // where the answer is said, something else is
    kNegation,    // what says the answer says that it is not so, or the other way round
    kLookAlike,   // the same sentences of other ships and cargos
    kParaphrase,  // the same facts in other words
};

inline constexpr std::array kEditKinds = {
    EditKind::kWords1,    EditKind::kWords5,    EditKind::kWords20, EditKind::kInsertion,
    EditKind::kDeletion,  EditKind::kMove,      EditKind::kFact,    EditKind::kNegation,
    EditKind::kLookAlike, EditKind::kParaphrase};

std::string_view to_string(EditKind kind);

// Another version of a note (task.h) in which the answer to what is asked may stand. The same seed
// gives the same version everywhere.
std::string edited_note(EditKind kind, const std::string& note, const std::string& answer,
                        uint64_t seed);

}  // namespace spolia
