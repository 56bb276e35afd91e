"""Links between the repository's Markdown files lead somewhere."""

import pathlib
import re
import urllib.parse

from checks.tree import Finding

LINK = re.compile(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"\s*(```|~~~)")
HEADING = re.compile(r"#{1,6}\s+(.*?)\s*#*$")


def prose(lines):
    """Numbered lines outside of fenced code."""
    fenced = False
    for number, line in enumerate(lines, 1):
        if FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield number, line


def anchors(lines):
    """The anchors that a Markdown viewer gives to the headings."""
    found = {}
    for _, line in prose(lines):
        match = HEADING.match(line)
        if match:
            slug = re.sub(r"[^\w\- ]", "", match[1].lower()).replace(" ", "-")
            found[slug] = found.get(slug, -1) + 1
    return {f"{slug}-{n}" if n else slug for slug, last in found.items() for n in range(last + 1)}


def check_target(tree, path, target):
    place, _, anchor = urllib.parse.unquote(target).partition("#")
    file = (tree.root / path).parent / place if place else tree.root / path
    if place.startswith("/"):
        return f"{target} starts at the file system's root: make the link relative"
    if not file.exists():
        return f"{target} does not exist: correct the link"
    if anchor and file.suffix == ".md":
        relative = pathlib.Path(file.resolve()).relative_to(tree.root).as_posix()
        if anchor not in anchors(tree.lines(relative)):
            return f"{target}: no heading has this anchor: correct the link"
    return None


def check(tree):
    for path in tree.paths:
        if not path.endswith(".md"):
            continue
        for number, line in prose(tree.lines(path)):
            for target in LINK.findall(line):
                if re.match(r"[a-z]+:", target):
                    continue
                problem = check_target(tree, path, target)
                if problem:
                    yield Finding(path, number, problem)
