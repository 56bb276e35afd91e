"""The sample model: a llama of PyTorch's, on rows of several prompts behind each other."""

import dataclasses
import math

import torch
import torch.nn.functional as F

from . import kernels

LOOK_BACK = 5.0  # how much heads that look back prefer their row, at the start
# {layer: rows that its first heads look back}; models have these layers and as many heads. From a
# value to its key in "Mira carries silk" and "Mira never carries silk"; from the colon behind "What
# does Mira carry?" to the ship; once "it" is resolved, from the value of "It carries silk" to it.
LOOK_BACK_ROWS = {0: (1, 2, 3, 5), 2: (2, 5)}


@dataclasses.dataclass
class Shape:
    n_vocab: int
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    n_ff: int
    head_dim: int = 32  # the kernels' kDim
    rope_base: float = 10000.0
    norm_eps: float = 1e-5


def matrix(n_in, n_out, scale=1.0):
    return torch.nn.Parameter(torch.randn(n_out, n_in) * (scale / math.sqrt(n_in)))


def look_back(block, common, offsets):
    """Sets a block's heads to attend to the row `offset` rows before. Without it a model stays for
    thousands of steps where it knows a prompt's words but not which belong together: it must learn
    at once to look back from a value to its key and to look for that key."""
    shape = block.shape
    dim, group = shape.head_dim, shape.n_head // shape.n_head_kv
    # The fastest pairs of dimensions tell neighbouring rows apart.
    strengths = torch.tensor([2.0, 1.0, 1.0]).sqrt() * LOOK_BACK ** 0.5 * dim ** 0.25
    direction = common / common.norm() / (math.sqrt(len(common) / 2))
    with torch.no_grad():
        for head, offset in enumerate(offsets):
            for pair, strength in enumerate(strengths):
                angle = -offset * shape.rope_base ** (-2 * pair / dim)
                row = head * dim + 2 * pair
                block.attn_q[row] += strength * math.cos(angle) * direction
                block.attn_q[row + 1] += strength * math.sin(angle) * direction
                if head % group == 0:
                    block.attn_k[head // group * dim + 2 * pair] += strength * direction


class Block(torch.nn.Module):
    def __init__(self, shape, dtype):
        super().__init__()
        self.shape, self.dtype = shape, dtype
        q_dim, kv_dim = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
        residual = 1 / math.sqrt(2 * shape.n_layer)
        self.attn_norm = torch.nn.Parameter(torch.ones(shape.n_embd))
        self.attn_q = matrix(shape.n_embd, q_dim)
        self.attn_k = matrix(shape.n_embd, kv_dim)
        self.attn_v = matrix(shape.n_embd, kv_dim)
        self.attn_output = matrix(q_dim, shape.n_embd, residual)
        self.ffn_norm = torch.nn.Parameter(torch.ones(shape.n_embd))
        self.ffn_gate = matrix(shape.n_embd, shape.n_ff)
        self.ffn_up = matrix(shape.n_embd, shape.n_ff)
        self.ffn_down = matrix(shape.n_ff, shape.n_embd, residual)

    def forward(self, x, attention):
        qkv = torch.cat([self.attn_q, self.attn_k, self.attn_v]).to(self.dtype)
        mixed = attention(F.linear(self.norm(x, self.attn_norm), qkv))
        x = x + F.linear(mixed, self.attn_output.to(self.dtype))
        gate_up = torch.cat([self.ffn_gate, self.ffn_up]).to(self.dtype)
        inner = kernels.Gate.apply(F.linear(self.norm(x, self.ffn_norm), gate_up))
        return x + F.linear(inner, self.ffn_down.to(self.dtype))

    def norm(self, x, weight):
        return kernels.Norm.apply(x, weight, self.shape.norm_eps, self.dtype)


class Model(torch.nn.Module):
    """Computes in `dtype`; the residual stream, the weights and the output stay float32."""

    def __init__(self, shape, dtype=torch.float32):
        super().__init__()
        self.shape = shape
        common = torch.randn(shape.n_embd)
        self.token_embd = torch.nn.Parameter(torch.randn(shape.n_vocab, shape.n_embd) + common)
        self.blocks = torch.nn.ModuleList(Block(shape, dtype) for _ in range(shape.n_layer))
        for layer, offsets in LOOK_BACK_ROWS.items():
            look_back(self.blocks[layer], common, offsets)
        self.output_norm = torch.nn.Parameter(torch.ones(shape.n_embd))
        self.output = matrix(shape.n_embd, shape.n_vocab)

    def layout(self, batch):
        return kernels.Layout(batch.prompts, batch.positions, self.shape.head_dim,
                              self.shape.rope_base)

    def dense(self, batch):
        """Attention of the batch as it is."""
        layout = self.layout(batch)
        return lambda qkv: kernels.Attention.apply(qkv, layout, self.shape.n_head,
                                                   self.shape.n_head_kv)

    def hidden(self, ids, attention, rows=None):
        """States behind the last layer; of the given rows only."""
        x = F.embedding(torch.from_numpy(ids), self.token_embd)
        for block in self.blocks:
            x = block(x, attention)
        if rows is not None:
            x = x[rows]
        return kernels.Norm.apply(x, self.output_norm, self.shape.norm_eps, torch.float32)

    def loss(self, batch, hint_weight, end):
        """Mean cross entropy of the answers plus that of the hints times their weight, and the
        shares of each that were right. `end` is the token behind an answer."""
        rows = torch.from_numpy(((batch.targets >= 0) | (batch.hints >= 0)).nonzero()[0])
        hidden = self.hidden(batch.ids, self.dense(batch), rows)
        logits = F.linear(hidden, self.output)
        targets = torch.from_numpy(batch.targets)[rows]
        hints = torch.from_numpy(batch.hints)[rows]
        best = logits.detach().argmax(-1)
        answers = (targets >= 0) & (targets != end)
        right = (best == targets)[answers].float().mean().item()
        loss = F.cross_entropy(logits, targets, ignore_index=-1)
        hinted = 0.0
        if hint_weight > 0 and (hints >= 0).any():
            hinted = (best == hints)[hints >= 0].float().mean().item()
            loss = loss + hint_weight * F.cross_entropy(logits, hints, ignore_index=-1)
        return loss, right, hinted
