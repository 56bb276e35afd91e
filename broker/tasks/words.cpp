#include "broker/tasks/words.h"

namespace spolia {
namespace {

constexpr std::string_view kShips[] = {
    "Ada",   "Alba",  "Alma",   "Amir",  "Anja",   "Arlo",  "Arno",  "Asta",  "Aven",  "Avis",
    "Bela",  "Bera",  "Bina",   "Bodo",  "Brin",   "Bruna", "Caro",  "Cato",  "Ceres", "Cleo",
    "Cora",  "Cyra",  "Dagny",  "Dara",  "Delia",  "Dido",  "Dina",  "Dora",  "Duna",  "Edda",
    "Egon",  "Elba",  "Elin",   "Ella",  "Elmo",   "Emil",  "Enid",  "Enzo",  "Erin",  "Etta",
    "Ezra",  "Fara",  "Faro",   "Fenn",  "Fina",   "Finn",  "Flora", "Freya", "Frida", "Gala",
    "Gero",  "Gilda", "Gino",   "Greta", "Gus",    "Gwen",  "Hana",  "Hedda", "Helga", "Hera",
    "Hilde", "Hugo",  "Ida",    "Igor",  "Ilse",   "Imre",  "Inez",  "Inga",  "Ione",  "Iris",
    "Isla",  "Ivar",  "Ivo",    "Jana",  "Jarl",   "Jens",  "Jolie", "Jona",  "Juno",  "Jutta",
    "Kaia",  "Karl",  "Kaspar", "Kira",  "Klara",  "Knut",  "Kora",  "Lars",  "Lea",   "Lena",
    "Leto",  "Lida",  "Lina",   "Livia", "Loki",   "Lorna", "Lotta", "Luna",  "Lyra",  "Magda",
    "Maia",  "Malo",  "Mara",   "Marlo", "Merle",  "Mila",  "Milo",  "Mina",  "Mira",  "Moritz",
    "Nadia", "Nala",  "Nemo",   "Nero",  "Nia",    "Nils",  "Nora",  "Nuria", "Oda",   "Odin",
    "Olaf",  "Olga",  "Opal",   "Oran",  "Orla",   "Oscar", "Otis",  "Ove",   "Paco",  "Pavel",
    "Perla", "Petra", "Pia",    "Quinn", "Ralf",   "Rana",  "Rhea",  "Rita",  "Rolf",  "Roman",
    "Rosa",  "Rufus", "Runa",   "Sada",  "Saga",   "Sami",  "Sela",  "Selma", "Senta", "Signe",
    "Silas", "Skye",  "Sofia",  "Sten",  "Stella", "Svea",  "Tamar", "Tara",  "Tarn",  "Tess",
    "Theo",  "Thora", "Tilda",  "Tove",  "Troy",   "Ulla",  "Uma",   "Urban", "Vera",  "Vega",
    "Vida",  "Viggo", "Vito",   "Wanda", "Willa",  "Wolf",  "Xenia", "Yara",  "Yuri",  "Zara",
    "Zelda", "Zeno",  "Zita",
};

constexpr std::string_view kCargoes[] = {
    "silk",  "salt", "tea",   "copper", "amber",  "wool",   "oats",   "rice",   "corn",   "cloth",
    "linen", "iron", "tin",   "gold",   "silver", "pearls", "spice",  "pepper", "ginger", "sugar",
    "honey", "wine", "cider", "oil",    "wax",    "rope",   "timber", "coal",   "clay",   "glass",
    "paper", "ink",  "furs",  "hides",  "fish",   "olives", "figs",   "dates",  "nuts",   "seeds",
};

constexpr std::string_view kLabels[] = {
    "oak",    "elm",     "ash",     "birch",    "cedar",  "pine",   "maple",    "willow",
    "fir",    "larch",   "beech",   "alder",    "hazel",  "rowan",  "yew",      "holly",
    "laurel", "myrtle",  "cypress", "poplar",   "linden", "walnut", "chestnut", "acacia",
    "aspen",  "hemlock", "juniper", "sycamore", "spruce", "teak",   "ebony",    "mulberry",
};

constexpr std::string_view kTails[] = {
    "today", "at dawn", "by night", "this week", "in spring", "again",
};

constexpr std::string_view kNumbers[] = {
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
};

}  // namespace

std::span<const std::string_view> ship_names() { return kShips; }
std::span<const std::string_view> cargo_words() { return kCargoes; }
std::span<const std::string_view> note_labels() { return kLabels; }
std::span<const std::string_view> sentence_tails() { return kTails; }
std::span<const std::string_view> number_words() { return kNumbers; }

}  // namespace spolia
