"""Writes the model as a GGUF file (version 3) that llama.cpp loads."""

import os
import struct

from .tokenizer import PRE_TOKENIZER, SPECIAL

ALIGNMENT = 32
# Types of values, of tensors and of tokens.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
F32, F16 = 0, 1
NORMAL, CONTROL = 1, 3

# Documents are paragraphs, the question is the last one; so the prompt ends with "Answer:" behind
# whatever the user wrote.
CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{%- if message.role == 'assistant' -%}{{ ' ' + message.content + '\\n\\n' }}"
    "{%- else -%}"
    "{%- if message.content is string -%}{{ message.content }}"
    "{%- else -%}{%- for part in message.content -%}"
    "{{ part.text }}{{ '' if loop.last else '\\n\\n' }}"
    "{%- endfor -%}{%- endif -%}"
    "{{ '\\nAnswer:' if message.role == 'user' else '\\n\\n' }}"
    "{%- endif -%}{%- endfor -%}")


def string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind: int, item) -> bytes:
    if kind == STRING:
        return string(item)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], item)


def pair(key: str, kind: int, item) -> bytes:
    return string(key) + struct.pack("<I", kind) + value(kind, item)


def array(key: str, kind: int, items) -> bytes:
    return (string(key) + struct.pack("<IIQ", ARRAY, kind, len(items))
            + b"".join(value(kind, item) for item in items))


def metadata(shape, tokenizer, notes: str) -> list[bytes]:
    special = set(SPECIAL)
    types = [CONTROL if token in special else NORMAL for token in tokenizer.tokens]
    return [
        pair("general.architecture", STRING, "llama"),
        pair("general.name", STRING, "Spolia sample"),
        pair("general.description", STRING, "Answers questions about short notes that stand in "
             "its prompt, and about nothing else: to see what reuse of a KV cache does to answers"),
        pair("spolia.sample_model", STRING, notes),
        pair("llama.block_count", UINT32, shape.n_layer),
        pair("llama.context_length", UINT32, 4096),
        pair("llama.embedding_length", UINT32, shape.n_embd),
        pair("llama.feed_forward_length", UINT32, shape.n_ff),
        pair("llama.attention.head_count", UINT32, shape.n_head),
        pair("llama.attention.head_count_kv", UINT32, shape.n_head_kv),
        pair("llama.attention.key_length", UINT32, shape.head_dim),
        pair("llama.attention.value_length", UINT32, shape.head_dim),
        pair("llama.attention.layer_norm_rms_epsilon", FLOAT32, shape.norm_eps),
        pair("llama.rope.dimension_count", UINT32, shape.head_dim),
        pair("llama.rope.freq_base", FLOAT32, shape.rope_base),
        pair("llama.vocab_size", UINT32, shape.n_vocab),
        pair("tokenizer.ggml.model", STRING, "gpt2"),
        pair("tokenizer.ggml.pre", STRING, PRE_TOKENIZER),
        array("tokenizer.ggml.tokens", STRING, tokenizer.tokens),
        array("tokenizer.ggml.token_type", INT32, types),
        array("tokenizer.ggml.merges", STRING, [" ".join(merge) for merge in tokenizer.merges]),
        pair("tokenizer.ggml.bos_token_id", UINT32, tokenizer.bos),
        pair("tokenizer.ggml.eos_token_id", UINT32, tokenizer.eos),
        pair("tokenizer.ggml.add_bos_token", BOOL, True),
        pair("tokenizer.ggml.add_eos_token", BOOL, False),
        pair("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]


def pad(n: int) -> int:
    return -n % ALIGNMENT


def tensor_name(name: str) -> str:
    """What GGUF calls a parameter of the model."""
    return name.replace("blocks.", "blk.", 1) + ".weight"


def write(path: str, shape, weights, tokenizer, notes: str):
    """`weights`: {name of a parameter: numpy array}; `notes`: what the model was trained with, as
    one line."""
    pairs = metadata(shape, tokenizer, notes)
    infos, blobs, offset = [], [], 0
    for name, data in weights.items():
        kind = F32 if data.ndim == 1 else F16
        blob = data.astype("<f4" if kind == F32 else "<f2").tobytes()
        dims = data.shape[::-1]
        infos.append(string(tensor_name(name)) + struct.pack(f"<I{len(dims)}Q", len(dims), *dims)
                     + struct.pack("<IQ", kind, offset))
        blobs.append(blob + bytes(pad(len(blob))))
        offset += len(blobs[-1])
    head = (b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(pairs)) + b"".join(pairs)
            + b"".join(infos))
    with open(f"{path}.part", "wb") as file:
        file.write(head + bytes(pad(len(head))))
        for blob in blobs:
            file.write(blob)
    os.replace(f"{path}.part", path)
