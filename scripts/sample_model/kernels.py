"""native/kernels.cpp as operations of PyTorch's. Compiled at first use, for this CPU."""

import ctypes
import hashlib
import os
import pathlib
import platform
import subprocess
import tempfile

import numpy
import torch

FOLDER = pathlib.Path(__file__).with_name("native")
ROOT = FOLDER.parents[2]
FLAGS = ["-std=c++20", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno",
         "-fno-trapping-math", "-fopenmp", "-shared", "-fPIC"]


def build() -> ctypes.CDLL:
    flags = [flag for flag in FLAGS if "512" not in flag or platform.machine() == "x86_64"]
    sources = b"".join(path.read_bytes() for path in sorted(FOLDER.iterdir()))
    key = hashlib.sha256(sources + " ".join(flags).encode()).hexdigest()[:16]
    library = pathlib.Path(tempfile.gettempdir()) / f"spolia_train_{os.getuid()}_{key}.so"
    if not library.exists():
        part = f"{library}.{os.getpid()}"
        subprocess.run(["c++", *flags, f"-I{ROOT}", FOLDER / "kernels.cpp", "-o", part],
                       check=True)
        os.replace(part, library)
    return ctypes.CDLL(str(library))


_LIBRARY = None
_NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}


def call(name, dtype, *arguments):
    """Runs a kernel's variant for `dtype`. Tensors are passed as pointers to their numbers."""
    global _LIBRARY
    if _LIBRARY is None:
        _LIBRARY = build()
    converted = []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            assert argument.is_contiguous()
            converted.append(ctypes.c_void_p(argument.data_ptr()))
        elif isinstance(argument, float):
            converted.append(ctypes.c_float(argument))
        else:
            converted.append(argument)
    getattr(_LIBRARY, f"{name}_{_NAMES[dtype]}")(*converted)


class Layout:
    """Where the prompts' rows are, for the attention kernels, and the rows' rotations."""

    def __init__(self, prompts, positions, head_dim, rope_base):
        parts, lengths = [], []
        for first, n_doc, questions in prompts:
            parts.append((first, n_doc, len(questions), len(lengths)))
            lengths += questions
        self.prompts = torch.tensor(parts, dtype=torch.int32)
        self.lengths = torch.tensor(lengths, dtype=torch.int32)
        angles = positions[:, None] * rope_base ** -(numpy.arange(0, head_dim, 2) / head_dim)
        self.cosines = torch.from_numpy(numpy.cos(angles).astype(numpy.float32))
        self.sines = torch.from_numpy(numpy.sin(angles).astype(numpy.float32))


class Attention(torch.autograd.Function):
    """[rows, (heads + 2 kv heads) x dim], before rotation, to [rows, heads x dim]."""

    @staticmethod
    def forward(ctx, qkv, layout, n_head, n_head_kv):
        qkv = qkv.contiguous()
        dim = qkv.shape[1] // (n_head + 2 * n_head_kv)
        out = qkv.new_empty(len(qkv), n_head * dim)
        log_sums = torch.empty(len(qkv), n_head)
        ctx.layout, ctx.heads = layout, (n_head, n_head_kv)
        call("attention_forward", qkv.dtype, qkv, *Attention.common(ctx), out, log_sums)
        ctx.save_for_backward(qkv, out, log_sums)
        return out

    @staticmethod
    def common(ctx):
        layout = ctx.layout
        return (layout.cosines, layout.sines, layout.prompts, len(layout.prompts), layout.lengths,
                *ctx.heads)

    @staticmethod
    def backward(ctx, grad):
        qkv, out, log_sums = ctx.saved_tensors
        result = torch.empty_like(qkv)
        call("attention_backward", qkv.dtype, qkv, *Attention.common(ctx), out, log_sums,
             grad.contiguous(), result)
        return result, None, None, None


class Norm(torch.autograd.Function):
    """RMSNorm of a float's rows, to the given type."""

    @staticmethod
    def forward(ctx, x, weight, eps, dtype):
        x = x.contiguous()
        y = torch.empty_like(x, dtype=dtype)
        inverse = torch.empty(len(x))
        call("norm_forward", dtype, x, weight, y, inverse, ctypes.c_int64(len(x)),
             ctypes.c_int64(x.shape[1]), float(eps))
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, weight, inverse = ctx.saved_tensors
        grad_x, grad_weight = torch.empty_like(x), torch.empty_like(weight)
        call("norm_backward", grad.dtype, x, weight, inverse, grad.contiguous(), grad_x,
             grad_weight, ctypes.c_int64(len(x)), ctypes.c_int64(x.shape[1]))
        return grad_x, grad_weight, None, None


class Gate(torch.autograd.Function):
    """silu(first half of a row) x second half."""

    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        y = x.new_empty(len(x), x.shape[1] // 2)
        call("gate_forward", x.dtype, x, y, ctypes.c_int64(len(x)), ctypes.c_int64(y.shape[1]))
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        result = torch.empty_like(x)
        call("gate_backward", x.dtype, x, grad.contiguous(), result, ctypes.c_int64(len(x)),
             ctypes.c_int64(grad.shape[1]))
        return result
