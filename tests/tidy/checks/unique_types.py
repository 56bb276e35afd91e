"""No two headers define a type of one name: both would be one to the linker."""

import re

from checks.tree import Finding

# Nested types are indented; declarations without a body end in a semicolon.
DEFINITION = re.compile(r"(?:struct|class|enum class|enum) (\w+)(?: final)?(?: : [^;]*)?(?: \{|$)")


def check(tree):
    first = {}
    for path in tree.code:
        if not path.endswith(".h") or path.startswith("tests/"):
            continue
        for number, line in enumerate(tree.lines(path), 1):
            found = DEFINITION.match(line)
            if not found:
                continue
            name = found.group(1)
            if name in first:
                yield Finding(path, number, f"{name} is also defined in {first[name]}: give one of "
                                            "them another name, or the linker mixes them up")
            first.setdefault(name, path)
