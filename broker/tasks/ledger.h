#pragma once

#include <cstdint>
#include <vector>

#include "broker/tasks/random.h"

namespace spolia {

// What a sentence of a harbour's notes says. S is its ship, T another one, C a cargo.
enum class Form {
    kCarries,     // S carries C.
    kMatches,     // S matches T.          S carries what T carries here; T came earlier.
    kNowCarries,  // Now S carries C.      What was said of S before no longer holds.
    kNowMatches,  // Now S matches T.
    kNever,       // S never carries C.
    kNext,        // S is next.            The sentence behind it calls S "it".
    kItCarries,   // It carries C.
};

struct Statement {
    Form form = Form::kCarries;
    int32_t chunk = 0;
    int32_t ship = 0;     // index into ship_names(); of kItCarries, the ship that "it" is
    int32_t target = -1;  // T
    int32_t cargo = -1;   // C; of the two that match, what T carries
    int32_t tail = -1;    // index into sentence_tails()
};

// What holds of a ship at the end of the notes.
struct ShipState {
    int32_t ship = 0;
    int32_t cargo = -1;
    Form form = Form::kCarries;     // of the statement that says so
    int32_t depth = 0;              // ships that must be looked up behind this one
    bool plain = true;              // that statement and all behind it are kCarries or kMatches
    bool negated = false;           // a kNever is about it
    std::vector<int32_t> path;      // chunks of those statements, ascending
    std::vector<int32_t> named_in;  // chunks that name it, ascending
    int32_t first_statement = 0;    // that names it
    int32_t old_cargo = -1;         // before the update
    int32_t never_cargo = -1;       // what a kNever rules out

    bool updated() const { return form == Form::kNowCarries || form == Form::kNowMatches; }
    bool crosses() const { return path.size() > 1; }
};

struct LedgerShape {
    int32_t n_chunks = 6;
    int32_t sentences_per_chunk = 6;
    bool simple = false;  // kCarries and kMatches only
    bool tails = true;
};

// Notes about ships, a chunk each. Most sentences stand alone; about one in five points to an
// earlier chunk. No ship is updated once another matches it, so that it does not matter whether a
// reader follows a match where it stands or at the end.
struct Ledger {
    std::vector<int32_t> labels;  // of the chunks; indices into note_labels()
    std::vector<Statement> statements;
    std::vector<ShipState> ships;  // in the order in which they are named first; all have a cargo

    int32_t n_chunks() const { return static_cast<int32_t>(labels.size()); }
};

// At most as many sentences as there are ship_names(), and chunks as there are note_labels().
Ledger write_ledger(const LedgerShape& shape, TaskRandom& random);

}  // namespace spolia
