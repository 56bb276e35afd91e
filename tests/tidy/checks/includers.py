"""A third-party library is included where it is confined, and nowhere else."""

import re

from checks.tree import Finding

LLAMA_COMMON = ("arg|build-info|chat|chat-auto-parser|chat-peg-parser|common|console|download|fit|"
                "json-schema|json-schema-to-grammar|log|peg-parser|preset|reasoning-budget|"
                "sampling|speculative|unicode")

# (library, pattern of included names, pattern of the files that may include it)
CONFINED = [(library, re.compile(names), re.compile(places)) for library, names, places in [
    ("xxHash", r"xxhash\.h$", r"index/fingerprint\.cpp$"),
    ("utf8proc", r"utf8proc\.h$", r"index/normal_text\.cpp$"),
    ("FAISS", r"faiss/", r"index/vector_graph\.cpp$"),
    ("llama.cpp", rf"(llama(-cpp)?|ggml(-[a-z]+)?|gguf|mtmd(-helper)?)\.h$|llama-common/|jinja/|"
                  rf"({LLAMA_COMMON})\.h$", r"(adapters/llama|tests/unit/adapters|tests/support)/"),
    ("Boost's networking", r"boost/(?!unordered/)",
     r"broker/http/|.*client[^/]*$|tests/(unit/broker|e2e)/"),
    ("Boost's hash tables", r"boost/unordered/", r"reuse/ram_tier\.h"),
    ("OpenSSL", r"openssl/", r"broker/http/upstream_tls\.cpp$|tests/(unit/broker|support)/"),
    ("nlohmann/json", r"nlohmann/",
     r"broker/(wire|cli)/|broker/config[^/]*$|adapters/.*(client|wire)[^/]*$|tests/"),
    ("SQLite", r"sqlite3\.h$", r"broker/rag/database\.cpp$"),
    ("spdlog", r"spdlog/", r"broker/log\.cpp$"),
    ("prometheus-cpp", r"prometheus/", r"broker/(core/)?metrics[^/]*$"),
    ("toml++", r"toml\+\+/", r"broker/config[^/]*\.cpp$"),
    ("CLI11", r"CLI/", r"broker/cli/"),
    ("GoogleTest", r"g(test|mock)/", r"tests/"),
    ("Google Benchmark", r"benchmark/", r"tests/bench/"),
]]


def check(tree):
    for path in tree.code:
        for include in tree.includes(path):
            if (tree.root / include.name).is_file():
                continue
            for library, names, places in CONFINED:
                if names.match(include.name) and not places.match(path):
                    yield Finding(path, include.line,
                                  f"<{include.name}> belongs to {library}, which only files "
                                  f"matching {places.pattern} include: use what they offer")
