"""A layer includes itself and what stands to its left; adapters never include each other."""

import pathlib

from checks.tree import Finding

LAYERS = ["index", "reuse", "anchors", "adapters", "broker"]


def layer_of(path):
    """The layer that a path or an included name belongs to; None outside of them."""
    top = path.split("/")[0]
    if top == "spolia":
        return "broker"  # broker/include is an include folder of its own
    return top if top in LAYERS and "/" in path else None


def adapter_of(path):
    parts = path.split("/")
    return parts[1] if parts[0] == "adapters" and len(parts) > 2 else None


def check_include(path, include):
    here, there = layer_of(path), layer_of(include.name)
    if here and there:
        if LAYERS.index(there) > LAYERS.index(here):
            return (f"{here}/ includes {include.name}, which stands to its right "
                    f"({' <- '.join(LAYERS)}): let {there}/ implement an interface of {here}/")
        ours, theirs = adapter_of(path), adapter_of(include.name)
        if ours and theirs and ours != theirs:
            return (f"adapter {ours} includes adapter {theirs}: "
                    "move what both need to adapters/ or to a layer left of it")
    if path.startswith("examples/") and there and not include.name.startswith("spolia/"):
        return (f"an example includes {include.name}: "
                "use public headers (broker/include/spolia/) only")
    return None


def check(tree):
    for path in tree.code:
        for include in tree.includes(path):
            problem = check_include(path, include)
            if problem:
                yield Finding(path, include.line, problem)
            elif include.quoted and not (tree.root / include.name).is_file():
                beside = pathlib.PurePath(path).parent / include.name
                if (tree.root / beside).is_file():
                    yield Finding(path, include.line,
                                  f'"{include.name}" does not show its layer: include it from the '
                                  f'repository\'s root, "{beside}"')
