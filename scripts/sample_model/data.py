"""Turns the lines of `spolia tasks` into rows of tokens."""

import dataclasses
import json
import re
import subprocess

import numpy

IGNORED = -1
# The ship that a question is about.
ASKED = re.compile(r"(?:What does|And) (\w+)(?: carry)?\?$")


@dataclasses.dataclass
class Question:
    kind: str
    cross: bool
    ids: list[int]      # the question, then the answer without its last token
    targets: list[int]  # the next token of each row, IGNORED where it is not learned
    hints: list[int]    # targets of rows that could know the answer before they are asked
    answer: int         # row at which the answer's first token is predicted


@dataclasses.dataclass
class Prompt:
    doc: list[int]                 # BOS, the chunks, and the blank line behind each
    hints: list[int]               # targets of doc's rows
    chunks: list[tuple[int, int]]  # rows of the chunks that a cache would hold, from and to
    questions: list[Question]


class Encoder:
    """Makes rows of tasks of a stage; the prompts are those that the chat template makes."""

    def __init__(self, tokenizer, stage):
        self.tokenizer = tokenizer
        self.suffix = "\nAnswer:" if stage == "sentences" else ""
        self.blank = tokenizer.encode("\n\n")

    def encode(self, task: dict) -> Prompt:
        doc, chunks, starts = [self.tokenizer.bos], [], []
        for text in task["chunks"]:
            starts.append(len(doc))
            doc += self.tokenizer.encode(text)
            # The stop behind the last sentence is computed with the line feeds that follow.
            chunks.append((starts[-1], len(doc) - 1))
            doc += self.blank
        hints = [IGNORED] * len(doc)
        for hint in task.get("hints", []):
            chunk = hint["chunk"]
            before = task["chunks"][chunk][:hint["end"]]
            row = starts[chunk] + len(self.tokenizer.encode(before)) - 1
            hints[row] = self.tokenizer.encode(" " + hint["answer"])[0]
        questions = [self.encode_question(question) for question in task["questions"]]
        return Prompt(doc, hints, chunks, questions)

    def encode_question(self, question: dict) -> Question:
        ids = []
        for turn in question.get("history", []):
            ids += self.tokenizer.encode(turn["question"] + self.suffix)
            ids += self.tokenizer.encode(" " + turn["answer"]) + self.blank
        ids += self.tokenizer.encode(question["question"] + self.suffix)
        answer = self.tokenizer.encode(" " + question["answer"])
        row = len(ids) - 1
        targets = [IGNORED] * row + answer + [self.tokenizer.eos]
        hints = [IGNORED] * len(targets)
        if ASKED.match(question["question"]):
            ship = self.tokenizer.encode(" " + ASKED.match(question["question"]).group(1))
            hints[max(i for i in range(row) if ids[i] == ship[0])] = answer[0]
        return Question(question["kind"], question["cross"], ids + answer, targets, hints, row)


class Stream:
    """Prompts of one shape, from a generator that runs beside."""

    def __init__(self, program, tokenizer, seed, kinds, stage, chunks, sentences, questions=1,
                 hints=False):
        command = [program, "tasks", "--count", "0", "--seed", str(seed), "--stage", stage,
                   "--chunks", str(chunks), "--sentences", str(sentences),
                   "--questions", str(questions)]
        for kind in kinds:
            command += ["--kind", kind]
        if hints:
            command.append("--hints")
        self.encoder = Encoder(tokenizer, stage)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def next(self) -> Prompt:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the task generator ended")
        return self.encoder.encode(json.loads(line))

    def batch(self, n: int) -> list[Prompt]:
        return [self.next() for _ in range(n)]

    def close(self):
        self.process.stdout.close()
        self.process.terminate()
        self.process.wait()


@dataclasses.dataclass
class Batch:
    """Rows of several prompts behind each other. All questions of a prompt stand at the same
    positions behind its chunks and see the chunks and themselves only, as if each were asked alone.
    """
    ids: numpy.ndarray
    positions: numpy.ndarray
    targets: numpy.ndarray
    hints: numpy.ndarray
    prompts: list[tuple[int, int, list[int]]]  # first row, rows of the chunks, of each question


def make_batch(prompts: list[Prompt]) -> Batch:
    ids, positions, targets, hints, parts = [], [], [], [], []
    for prompt in prompts:
        first, n_doc = len(ids), len(prompt.doc)
        ids += prompt.doc
        positions += range(n_doc)
        targets += [IGNORED] * n_doc
        hints += prompt.hints
        for question in prompt.questions:
            ids += question.ids
            positions += range(n_doc, n_doc + len(question.ids))
            targets += question.targets
            hints += question.hints
        parts.append((first, n_doc, [len(q.ids) for q in prompt.questions]))
    return Batch(numpy.array(ids), numpy.array(positions), numpy.array(targets),
                 numpy.array(hints), parts)
