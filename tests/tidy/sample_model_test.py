#!/usr/bin/python3
"""Tests what is plain logic in the sample model's training: tokenizer, GGUF file, rows."""

import pathlib
import struct
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from sample_model import gguf, tokenizer

try:
    from sample_model import data
except ModuleNotFoundError:
    data = None

TEXTS = ["Note oak. Mira carries silk. Now Mira carries salt today.\n\n",
         "What does Mira carry?\nAnswer: salt", "Tarn matches Mira. It carries tea.\n\n"]


class TokenizerTest(unittest.TestCase):
    def setUp(self):
        self.tokenizer = tokenizer.train(TEXTS)

    def test_round_trip(self):
        for text in TEXTS + ["", " ", "unseen words", "naïve – 漢字 \t\r\n", "'s 12,345"]:
            self.assertEqual(self.tokenizer.decode(self.tokenizer.encode(text)), text)

    def test_words_of_the_texts_are_one_token(self):
        for word in ("Note", " Mira", " carries", "\n\n", ".", "?", "Answer"):
            self.assertEqual(len(self.tokenizer.encode(word)), 1, word)
        self.assertGreater(len(self.tokenizer.encode(" elephants")), 1)

    def test_pieces_do_not_depend_on_what_follows(self):
        whole = self.tokenizer.encode(TEXTS[0])
        head = self.tokenizer.encode("Note oak. Mira")
        self.assertEqual(whole[:len(head)], head)

    def test_special_tokens_are_the_last_and_no_text(self):
        size = len(self.tokenizer.tokens)
        self.assertEqual((self.tokenizer.bos, self.tokenizer.eos), (size - 2, size - 1))
        self.assertEqual(self.tokenizer.decode([self.tokenizer.bos, self.tokenizer.eos]), "")
        self.assertLess(max(self.tokenizer.encode("<|begin|>")), size - 2)

    def test_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "tokenizer.json"
            self.tokenizer.save(path)
            read = tokenizer.Tokenizer.load(path)
        self.assertEqual(read.tokens, self.tokenizer.tokens)
        self.assertEqual(read.encode(TEXTS[0]), self.tokenizer.encode(TEXTS[0]))


class Numbers:
    """As much of a numpy array as the writer needs."""

    def __init__(self, shape, values):
        self.shape, self.ndim, self.values, self.kind = shape, len(shape), values, "<f4"

    def astype(self, kind):
        changed = Numbers(self.shape, self.values)
        changed.kind = kind
        return changed

    def tobytes(self):
        letter = {"<f4": "f", "<f2": "e"}[self.kind]
        return struct.pack(f"<{len(self.values)}{letter}", *self.values)


class GgufReader:
    """Reads a file by the format's specification."""

    SCALARS = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}

    def __init__(self, content):
        self.content, self.at = content, 0
        self.magic = self.content[:4]
        self.at = 4
        self.version, n_tensors, n_pairs = self.take("<I"), self.take("<Q"), self.take("<Q")
        self.pairs = {}
        for _ in range(n_pairs):
            key = self.string()
            self.pairs[key] = self.value(self.take("<I"))
        infos = [(self.string(), [self.take("<Q") for _ in range(self.take("<I"))],
                  self.take("<I"), self.take("<Q")) for _ in range(n_tensors)]
        begin = (self.at + 31) // 32 * 32
        self.tensors = {name: (dims, self.numbers(begin + offset, dims, kind))
                        for name, dims, kind, offset in infos}
        self.offsets = [offset for _, _, _, offset in infos]

    def take(self, form):
        found, = struct.unpack_from(form, self.content, self.at)
        self.at += struct.calcsize(form)
        return found

    def string(self):
        size = self.take("<Q")
        self.at += size
        return self.content[self.at - size:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            inner, n = self.take("<I"), self.take("<Q")
            return [self.value(inner) for _ in range(n)]
        return self.take(self.SCALARS[kind])

    def numbers(self, at, dims, kind):
        n = 1
        for dim in dims:
            n *= dim
        return list(struct.unpack_from(f"<{n}{'fe'[kind]}", self.content, at))


class GgufTest(unittest.TestCase):
    def setUp(self):
        self.shape = types.SimpleNamespace(
            n_vocab=300, n_layer=2, n_embd=4, n_head=4, n_head_kv=2, n_ff=8, head_dim=32,
            rope_base=10000.0, norm_eps=1e-5)
        self.tokenizer = tokenizer.train(TEXTS)
        weights = {"output_norm": Numbers((3,), [1.0, 2.0, 0.1]),
                   "blocks.1.attn_q": Numbers((2, 3), [1.0, -2.0, 3.0, 0.5, 0.25, 6.0])}
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "model.gguf"
            gguf.write(str(path), self.shape, weights, self.tokenizer, "seed 1, 2 steps")
            self.assertEqual([file.name for file in path.parent.iterdir()], ["model.gguf"])
            self.file = GgufReader(path.read_bytes())

    def test_header(self):
        self.assertEqual((self.file.magic, self.file.version), (b"GGUF", 3))
        for key, value in {"general.architecture": "llama", "llama.block_count": 2,
                           "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
                           "llama.rope.dimension_count": 32, "llama.rope.freq_base": 10000.0,
                           "spolia.sample_model": "seed 1, 2 steps",
                           "tokenizer.ggml.add_bos_token": True}.items():
            self.assertEqual(self.file.pairs[key], value, key)
        self.assertNotIn("spolia.random_weights", self.file.pairs)

    def test_tokenizer(self):
        pairs = self.file.pairs
        self.assertEqual(pairs["tokenizer.ggml.tokens"], self.tokenizer.tokens)
        self.assertEqual(len(pairs["tokenizer.ggml.merges"]), len(self.tokenizer.merges))
        for name, token in (("bos", "<|begin|>"), ("eos", "<|end|>")):
            at = pairs[f"tokenizer.ggml.{name}_token_id"]
            self.assertEqual(pairs["tokenizer.ggml.tokens"][at], token)
            self.assertEqual(pairs["tokenizer.ggml.token_type"][at], gguf.CONTROL)

    def test_tensors(self):
        dims, norm = self.file.tensors["output_norm.weight"]
        self.assertEqual(dims, [3])
        for found, expected in zip(norm, [1.0, 2.0, 0.1]):
            self.assertAlmostEqual(found, expected, 6)
        self.assertEqual(self.file.tensors["blk.1.attn_q.weight"],
                         ([3, 2], [1.0, -2.0, 3.0, 0.5, 0.25, 6.0]))
        self.assertEqual([offset % 32 for offset in self.file.offsets], [0, 0])


@unittest.skipIf(data is None, "python3-numpy is not installed: scripts/setup --training")
class RowsTest(unittest.TestCase):
    TASK = {"kind": "single_fact",
            "chunks": ["Note oak. Mira carries silk.", "Note oak. Tarn matches Mira."],
            "hints": [{"chunk": 1, "end": 27, "answer": "silk"}],
            "questions": [{"kind": "single_fact", "cross": False, "answer": "silk",
                           "question": "What does Mira carry?"},
                          {"kind": "multi_turn", "cross": True, "answer": "silk",
                           "question": "And Tarn?",
                           "history": [{"question": "What does Mira carry?", "answer": "silk"}]}]}

    def setUp(self):
        self.tokenizer = tokenizer.train(TEXTS + self.TASK["chunks"] + ["And silk"])
        self.prompt = data.Encoder(self.tokenizer, "sentences").encode(self.TASK)

    def text(self, ids):
        return self.tokenizer.decode(ids)

    def test_document(self):
        self.assertEqual(self.prompt.doc[0], self.tokenizer.bos)
        self.assertEqual(self.text(self.prompt.doc), "\n\n".join(self.TASK["chunks"]) + "\n\n")
        chunks = [self.text(self.prompt.doc[begin:end]) for begin, end in self.prompt.chunks]
        self.assertEqual(chunks, [chunk[:-1] for chunk in self.TASK["chunks"]])

    def test_hints_stand_at_the_row_of_the_word_that_points(self):
        rows = [i for i, hint in enumerate(self.prompt.hints) if hint != data.IGNORED]
        self.assertEqual([self.text([self.prompt.doc[row]]) for row in rows], [" Mira"])
        self.assertEqual(self.text([self.prompt.hints[rows[0]]]), " silk")

    def test_questions_learn_their_answer_and_its_end(self):
        ends = ["What does Mira carry?\nAnswer:",
                "What does Mira carry?\nAnswer: silk\n\nAnd Tarn?\nAnswer:"]
        for question, end in zip(self.prompt.questions, ends):
            self.assertEqual(self.text(question.ids), end + " silk")
            learned = [target for target in question.targets if target != data.IGNORED]
            self.assertEqual(learned, self.tokenizer.encode(" silk") + [self.tokenizer.eos])
            self.assertEqual(self.text(question.ids[:question.answer + 1]), end)

    def test_questions_of_a_batch_stand_at_the_same_positions(self):
        batch = data.make_batch([self.prompt, self.prompt])
        n_doc, lengths = len(self.prompt.doc), [len(q.ids) for q in self.prompt.questions]
        size = n_doc + sum(lengths)
        self.assertEqual(batch.prompts, [(0, n_doc, lengths), (size, n_doc, lengths)])
        positions = [*range(n_doc)]
        for length in lengths:
            positions += range(n_doc, n_doc + length)
        self.assertEqual(batch.positions.tolist(), positions * 2)
        for part in (batch.ids, batch.targets, batch.hints):
            self.assertEqual(len(part), 2 * size)


if __name__ == "__main__":
    unittest.main()
