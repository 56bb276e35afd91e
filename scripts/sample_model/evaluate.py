"""Accuracy with one question a prompt: dense, and with chunks that were encoded alone."""

import collections
import math

import torch
import torch.nn.functional as F

from . import data


BATCH = 20  # prompts


def turned(x, cosines, sines):
    """[heads, rows, dim] with neighbouring pairs turned, as llama's models do."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cosines - b * sines, a * sines + b * cosines], -1).flatten(-2)


def attend(q, k, v):
    """[heads, n, dim] over [heads, m, dim]; the rows are the last ones of the columns."""
    n, m = q.shape[1], k.shape[1]
    hidden = torch.triu(torch.ones(n, m, dtype=torch.bool), m - n + 1)
    scores = torch.bmm(q, k.transpose(1, 2)).masked_fill_(hidden, -math.inf)
    return torch.bmm(torch.softmax(scores, -1), v)


class PlainAttention:
    """Attention of prompts with one question each, by the book. With `reuse` each chunk's rows see
    BOS and their own chunk only, as if encoded alone behind BOS and turned to their place; all
    other rows see everything in front of them."""

    def __init__(self, model, prompts, batch, reuse):
        self.shape, self.prompts, self.parts = model.shape, prompts, batch.prompts
        self.layout, self.reuse = model.layout(batch), reuse

    def __call__(self, qkv):
        out = torch.empty(len(qkv), self.shape.n_head * self.shape.head_dim)
        for prompt, (first, n_doc, lengths) in zip(self.prompts, self.parts):
            rows = slice(first, first + n_doc + sum(lengths))
            mixed = self.attend_prompt(qkv[rows].float(), prompt, self.layout.cosines[rows],
                                       self.layout.sines[rows])
            out[rows] = mixed.transpose(0, 1).flatten(1)
        return out.to(qkv.dtype)

    def attend_prompt(self, qkv, prompt, cosines, sines):
        n_head, n_kv = self.shape.n_head, self.shape.n_head_kv
        heads = qkv.view(len(qkv), -1, self.shape.head_dim).transpose(0, 1)
        q = turned(heads[:n_head], cosines, sines) / math.sqrt(self.shape.head_dim)
        plain_k = heads[n_head:n_head + n_kv].repeat_interleave(n_head // n_kv, 0)
        k = turned(plain_k, cosines, sines)
        v = heads[n_head + n_kv:].repeat_interleave(n_head // n_kv, 0)
        out = attend(q, k, v)
        for begin, end in prompt.chunks if self.reuse else []:
            sink = turned(plain_k[:, :1], cosines[begin - 1], sines[begin - 1])
            out[:, begin:end] = attend(q[:, begin:end], torch.cat([sink, k[:, begin:end]], 1),
                                       torch.cat([v[:, :1], v[:, begin:end]], 1))
        return out


def answers(model, prompts, attention, batch):
    """Whether each prompt's only question is answered with the right token."""
    rows = torch.tensor([first + n + prompt.questions[0].answer
                         for prompt, (first, n, _) in zip(prompts, batch.prompts)])
    best = F.linear(model.hidden(batch.ids, attention, rows), model.output).argmax(-1)
    return (best == torch.from_numpy(batch.targets)[rows]).tolist()


def evaluate(model, program, tokenizer, kinds, chunks, sentences, n, stage, seed=10**9):
    """Over n prompts of each kind, {kind: {"dense": accuracy, "reuse": accuracy, "cross": share of
    questions that cross chunks, "reuse_cross": accuracy on those}}."""
    result = {}
    for kind in dict.fromkeys(kinds):
        stream = data.Stream(program, tokenizer, seed, [kind], stage, chunks, sentences)
        right = collections.defaultdict(list)
        with torch.no_grad():
            for _ in range(n // BATCH):
                prompts = stream.batch(BATCH)
                batch = data.make_batch(prompts)
                crossing = [prompt.questions[0].cross for prompt in prompts]
                right["dense"] += answers(model, prompts, model.dense(batch), batch)
                found = answers(model, prompts, PlainAttention(model, prompts, batch, True), batch)
                right["reuse"] += found
                right["cross"] += crossing
                right["reuse_cross"] += [ok for ok, c in zip(found, crossing) if c]
        stream.close()
        result[kind] = {name: round(sum(values) / max(len(values), 1), 3)
                        for name, values in right.items()}
    return result
