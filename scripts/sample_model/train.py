"""Trains the sample model by a curriculum."""

import dataclasses
import json
import os
import pathlib
import subprocess
import time

import numpy
import torch

from . import data, evaluate, gguf
from .model import Model, Shape
from .optimizer import Optimizer
from .tokenizer import Tokenizer, train as train_tokenizer

HOPS = ["single_fact", "two_hops", "three_hops"]
PATHS = HOPS + ["latest_update", "coreference", "negation"]
ALL = PATHS + ["ordering", "counting", "citation", "judge", "multi_turn"]


@dataclasses.dataclass
class Phase:
    """Prompts of several sizes until the answers of the latest ones are right often enough."""
    stage: str
    sizes: list[tuple[int, int, int]]  # chunks, sentences a chunk, weight
    kinds: list[str]
    until: float  # moving accuracy; 2: up to the last step
    questions: int = 16
    rows: int = 6000  # of tokens a step, about
    rate: float = 0.007  # of Muon
    steps_max: int = 10**9


class State:
    """What a checkpoint holds."""

    def __init__(self, shape, dtype, seed, phases):
        torch.manual_seed(seed)
        self.seed, self.phases = seed, phases
        self.model = Model(shape, dtype)
        self.optimizer = Optimizer(self.model, dtype)
        self.step = self.phase = self.phase_step = 0
        self.accuracy = 0.0
        self.seconds = 0.0

    def save(self, path):
        numbers = {name: getattr(self, name)
                   for name in ("step", "phase", "phase_step", "accuracy", "seconds", "seed")}
        torch.save({"model": self.model.state_dict(), "optimizer": self.optimizer.state(),
                    "shape": dataclasses.asdict(self.model.shape), "numbers": numbers},
                   f"{path}.part")
        os.replace(f"{path}.part", path)

    def load(self, path):
        saved = torch.load(path)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load(saved["optimizer"])
        for name, value in saved["numbers"].items():
            setattr(self, name, value)


class Feed:
    """Batches of a phase; the size of a step's prompts depends on the seed and the step only."""

    def __init__(self, program, tokenizer, state):
        self.program, self.tokenizer = program, tokenizer
        self.state = state
        self.streams = {}

    def batch(self):
        state = self.state
        phase = state.phases[state.phase]
        random = numpy.random.default_rng([state.seed, state.step])
        weights = numpy.array([weight for _, _, weight in phase.sizes], float)
        chunks, sentences, _ = phase.sizes[random.choice(len(weights), p=weights / weights.sum())]
        stream = self.stream(phase, chunks, sentences)
        prompts, rows = [], 0
        while rows < phase.rows:
            prompts.append(stream.next())
            rows += len(prompts[-1].doc) + sum(len(q.ids) for q in prompts[-1].questions)
        return data.make_batch(prompts)

    def stream(self, phase, chunks, sentences):
        key = (self.state.phase, chunks, sentences)
        if key not in self.streams:
            # A run that goes on after a stop takes other prompts than one that was not stopped.
            seed = hash((self.state.seed, self.state.step) + key) & 0x7fffffff
            self.streams[key] = data.Stream(
                self.program, self.tokenizer, seed, phase.kinds, phase.stage, chunks, sentences,
                phase.questions, hints=True)
        return self.streams[key]

    def close(self):
        for stream in self.streams.values():
            stream.close()
        self.streams = {}


def tokenizer_texts(program):
    """Enough of each stage's tasks to have all of their words."""
    for seed, stage in enumerate(("pairs", "words", "sentences")):
        kinds = HOPS if stage == "pairs" else ALL
        lines = subprocess.run(
            [program, "tasks", "--count", "3000", "--seed", str(seed), "--stage", stage]
            + [word for kind in kinds for word in ("--kind", kind)],
            stdout=subprocess.PIPE, check=True).stdout.splitlines()
        for task in map(json.loads, lines):
            yield "\n\n".join(task["chunks"]) + "\n\n"
            for question in task["questions"]:
                yield question["question"] + "\nAnswer: " + question["answer"]
    yield "Answer: one two three four five six seven eight nine"  # the high ones are rare


def make_tokenizer(program, path):
    if not path.exists():
        train_tokenizer(tokenizer_texts(program)).save(path)
    return Tokenizer.load(path)


def learning_rate(step, phase_step, phase, options):
    """Warms up at the start and after a change of phase; falls to nothing over the last steps."""
    rate = phase.rate * min(1.0, (step + 1) / 100)
    rate *= min(1.0, 0.5 + phase_step / 200) if step > 100 else 1.0
    left = (options.steps - step) / max(1, options.cooldown)
    return rate * max(min(1.0, left), 0.02)


def run(options, phases):
    """Trains by the phases; goes on from the folder's checkpoint if there is one."""
    folder = pathlib.Path(options.folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    tokenizer = make_tokenizer(options.program, folder / "tokenizer.json")
    shape = Shape(n_vocab=len(tokenizer.tokens), n_layer=options.layers, n_embd=options.width,
                  n_ff=options.ffn, n_head=options.heads, n_head_kv=options.kv_heads)
    dtype = torch.bfloat16 if options.low_precision else torch.float32
    state = State(shape, dtype, options.seed, phases)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        state.load(checkpoint)
    log = open(folder / "log.jsonl", "a", encoding="utf-8", buffering=1)
    parameters = sum(p.numel() for p in state.model.parameters())
    log.write(json.dumps({"start": state.step, "vocabulary": len(tokenizer.tokens),
                          "parameters": parameters, "options": vars(options)}) + "\n")
    loop(state, Feed(options.program, tokenizer, state), options, log, checkpoint, tokenizer)


def loop(state, feed, options, log, checkpoint, tokenizer):
    losses, begin, saved = [], time.time(), time.time()
    while state.step < options.steps:
        loss, hinted, rows = train_step(state, feed.batch(), options, tokenizer.eos)
        losses.append(loss)
        now = time.time()
        state.seconds, begin = state.seconds + now - begin, now
        if state.step % 50 == 0:
            log.write(json.dumps({
                "step": state.step, "phase": state.phase,
                "loss": round(sum(losses) / len(losses), 4), "accuracy": round(state.accuracy, 4),
                "hints": round(hinted, 3), "rows": rows, "seconds": round(state.seconds)}) + "\n")
            losses = []
        if state.step % options.evaluate == 0:
            log_evaluation(state, options, log, tokenizer)
        if change_phase(state, log):
            feed.close()
        if time.time() - saved > 60 or state.step == options.steps:
            state.save(checkpoint)
            saved = time.time()
    feed.close()


def train_step(state, batch, options, end):
    state.optimizer.zero()
    loss, right, hinted = state.model.loss(batch, options.hints, end)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    rate = learning_rate(state.step, state.phase_step, state.phases[state.phase], options)
    state.optimizer.step(rate, rate * options.adam_ratio)
    state.step += 1
    state.phase_step += 1
    state.accuracy += (right - state.accuracy) * max(0.02, 1 / state.phase_step)
    return loss.item(), hinted, len(batch.ids)


def log_evaluation(state, options, log, tokenizer):
    phase = state.phases[state.phase]
    chunks, sentences, _ = max(phase.sizes, key=lambda size: size[2])
    kinds = evaluate.evaluate(state.model, options.program, tokenizer, phase.kinds, chunks,
                              sentences, 100, phase.stage)
    log.write(json.dumps({"step": state.step, "size": [chunks, sentences], "kinds": kinds}) + "\n")


def change_phase(state, log):
    phase = state.phases[state.phase]
    done = (state.accuracy >= phase.until and state.phase_step >= 100
            or state.phase_step >= phase.steps_max)
    if not done or state.phase + 1 == len(state.phases):
        return False
    log.write(json.dumps({"step": state.step, "phase_done": state.phase,
                          "accuracy": round(state.accuracy, 4)}) + "\n")
    state.phase, state.phase_step, state.accuracy = state.phase + 1, 0, 0.0
    return True


def export(options):
    """Writes the folder's checkpoint as GGUF."""
    folder = pathlib.Path(options.folder)
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    saved = torch.load(folder / "checkpoint.pt")
    weights = {name: tensor.float().numpy() for name, tensor in saved["model"].items()}
    numbers = saved["numbers"]
    gguf.write(options.export, Shape(**saved["shape"]), weights, tokenizer,
               f"seed {numbers['seed']}, {numbers['step']} steps")
