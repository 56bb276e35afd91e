"""A byte-level BPE tokenizer, as GPT-2's, that is trained on given text."""

import collections
import json
import re

# What llama.cpp's pre-tokenizer "qwen2" does, as far as the text is ASCII.
PRE_TOKENIZER = "qwen2"
SPLIT = re.compile(r"'(?:[sdmtSDMT]|ll|ve|re|LL|VE|RE)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]|"
                   r" ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPECIAL = ["<|begin|>", "<|end|>"]


def byte_letters() -> list[str]:
    """The letter that stands for each byte: itself where it is printable, else one above U+0100."""
    letters, extra = [], 0
    for byte in range(256):
        if 0x21 <= byte <= 0x7e or 0xa1 <= byte <= 0xac or byte >= 0xae:
            letters.append(chr(byte))
        else:
            letters.append(chr(256 + extra))
            extra += 1
    return letters


LETTERS = byte_letters()


def letters_of(text: str) -> list[str]:
    return [LETTERS[byte] for byte in text.encode()]


def merge(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """`parts` with the pair joined wherever it stands."""
    merged, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            merged.append(parts[i] + parts[i + 1])
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


class Tokenizer:
    """Tokens are the bytes, what the merges join, and the special ones."""

    def __init__(self, merges):
        self.merges = [tuple(pair) for pair in merges]
        self.rank = {pair: i for i, pair in enumerate(self.merges)}
        self.tokens = LETTERS + [a + b for a, b in self.merges] + SPECIAL
        self.ids = {token: i for i, token in enumerate(self.tokens)}
        self.bos, self.eos = (self.ids[token] for token in SPECIAL)
        self.cache = {}

    def encode(self, text: str) -> list[int]:
        ids = []
        for piece in SPLIT.findall(text):
            found = self.cache.get(piece)
            if found is None:
                found = self.cache[piece] = self.encode_piece(piece)
            ids.extend(found)
        return ids

    def encode_piece(self, piece: str) -> list[int]:
        parts = letters_of(piece)
        while len(parts) > 1:
            pairs = [pair for pair in zip(parts, parts[1:]) if pair in self.rank]
            if not pairs:
                break
            parts = merge(parts, min(pairs, key=self.rank.get))
        return [self.ids[part] for part in parts]

    def decode(self, ids: list[int]) -> str:
        byte_of = {letter: byte for byte, letter in enumerate(LETTERS)}
        text = "".join(self.tokens[i] for i in ids if self.tokens[i] not in SPECIAL)
        return bytes(byte_of[letter] for letter in text).decode(errors="replace")

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"merges": self.merges}, file, ensure_ascii=True)

    @staticmethod
    def load(path):
        with open(path, encoding="utf-8") as file:
            return Tokenizer(json.load(file)["merges"])


def count_words(texts) -> collections.Counter:
    """Pieces of the texts; line feeds apart, so that no token joins a sentence's end to them."""
    counts = collections.Counter()
    for text in texts:
        for piece in SPLIT.findall(text):
            word = piece.rstrip("\n")
            for part in (word, piece[len(word):]):
                if part:
                    counts[part] += 1
    return counts


def train(texts) -> Tokenizer:
    """Merges the most frequent pairs until every word of the texts is one token."""
    words = {word: (letters_of(word), n) for word, n in count_words(texts).items()}
    merges = []
    while True:
        pairs = collections.Counter()
        for parts, n in words.values():
            for pair in zip(parts, parts[1:]):
                pairs[pair] += n
        if not pairs:
            return Tokenizer(merges)
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {word: (merge(parts, best), n) for word, (parts, n) in words.items()}
