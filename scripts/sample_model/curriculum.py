"""The curriculum: what to learn in which order."""

from .train import ALL, PATHS, Phase

TINY = [(2, 2, 1), (1, 4, 1), (2, 3, 1)]
SMALL = [(3, 4, 2), (4, 4, 1), (3, 5, 1)]
MIDDLE = [(3, 5, 1), (4, 6, 2), (5, 5, 2)]
# One and a half times the six chunks that most tests have, too.
FULL = [(6, 6, 4), (5, 6, 1), (4, 7, 1), (9, 6, 2)]

# What is learned last is asked most.
HARD = ["two_hops", "three_hops", "coreference"]

PHASES = [
    Phase("sentences", TINY, ["single_fact"], 0.93, questions=6, rows=2500, rate=0.02),
    Phase("sentences", SMALL, PATHS + HARD, 0.90, questions=12, rows=4000, steps_max=1500),
    Phase("sentences", MIDDLE, ALL + HARD, 0.90, questions=24, steps_max=1600),
    Phase("sentences", FULL, ALL + HARD, 2, questions=32, rows=8000),
]
