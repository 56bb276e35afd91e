"""Every header is included somewhere, and every source is compiled."""

import json
import pathlib

from checks.tree import Finding

# Built by a project of its own, and by a script where it runs.
SEPARATE = ("tests/package/", "scripts/")
HEADERS = (".h", ".inc")


def compiled_paths(tree):
    commands = json.loads(tree.compile_commands.read_text())
    return {pathlib.Path(entry["directory"], entry["file"]).resolve() for entry in commands}


def check(tree):
    included = {include.name for path in tree.code for include in tree.includes(path)}
    for path in tree.code:
        if path.endswith(HEADERS) and path.removeprefix("broker/include/") not in included:
            yield Finding(path, 1, "no file includes this header: use it or remove it")
    if tree.compile_commands:
        compiled = compiled_paths(tree)
        for path in tree.code:
            if (not path.endswith(HEADERS) and not path.startswith(SEPARATE)
                    and (tree.root / path).resolve() not in compiled):
                yield Finding(path, 1, "no target compiles this file: add it to one or remove it")
