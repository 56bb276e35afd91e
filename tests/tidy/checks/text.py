"""What a file's text must not hold. Patterns are written so that they do not match themselves."""

import re

from checks.tree import CODE_SUFFIXES, Finding

CORPUS = "tests/fuzz/corpus/"  # any bytes
COLUMNS_MAX = 100
WRAPPED = CODE_SUFFIXES | {".py", ".cmake"}

ANYWHERE = [(re.compile(pattern), message) for pattern, message in [
    (r"\bTO[D]O\b|\bFIX[M]E\b|\bX[X]X\b", "an unfinished thought: finish it or drop it"),
    (r"(?<![\w.~$}/-])/(roo[t]|hom[e]|wor[k]|User[s])/",
     "a path of one machine: use a relative path or a variable"),
    (r"\bregistr[y]\.[\w.]+\.(org|com|io)\b|\bdeb\.debia[n]|pyp[i]\.org|pythonhoste[d]",
     "a package registry's host: name the package and leave the host to the client"),
    (r"[ \t]+$", "white space at the end of the line: remove it"),
    (r"\r", "a carriage return: end lines with a line feed"),
]]
IN_CODE = [(re.compile(pattern), message) for pattern, message in [
    (r".*\t", "a tab: indent with 4 spaces"),
    (r"\s*(//|#|/\*)\s*([-=*#/~])\2{3,}", "a divider: let functions and files divide the code"),
]]


def is_wrapped(path, lines):
    return (any(path.endswith(suffix) for suffix in WRAPPED) or path.endswith("CMakeLists.txt")
            or lines[0].startswith("#!"))


def check_lines(path, lines):
    wrapped = is_wrapped(path, lines)
    for number, line in enumerate(lines, 1):
        for pattern, message in ANYWHERE:
            if pattern.search(line):
                yield Finding(path, number, message)
        if not wrapped:
            continue
        for pattern, message in IN_CODE:
            if pattern.match(line):
                yield Finding(path, number, message)
        if len(line) > COLUMNS_MAX:
            yield Finding(path, number, f"{len(line)} columns: break the line at {COLUMNS_MAX}")


def check(tree):
    for path in tree.paths:
        if path.startswith(CORPUS):
            continue
        lines = tree.lines(path)
        if not any(lines):
            continue
        yield from check_lines(path, lines)
        if lines[-1]:
            yield Finding(path, len(lines), "no line feed at the end of the file: add it")
        if path.endswith(".h") and "#pragma once" not in lines:
            yield Finding(path, 1, "a header without #pragma once: add it; if it is meant to be "
                                   "included many times, name it .inc")
