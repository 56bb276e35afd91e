"""The files that checks look at."""

import dataclasses
import functools
import pathlib
import re
import subprocess

CODE_SUFFIXES = {".h", ".inc", ".c", ".cpp"}


@dataclasses.dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str  # what is wrong: what to do

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


@dataclasses.dataclass(frozen=True)
class Include:
    line: int
    name: str
    quoted: bool


INCLUDE = re.compile(r'\s*#\s*include\s*(<([^>]+)>|"([^"]+)")')


class Tree:
    """Files that git tracks, or would if they were added; paths are relative to root, with `/`."""

    def __init__(self, root, compile_commands=None):
        self.root = pathlib.Path(root).resolve()
        self.compile_commands = compile_commands

    @functools.cached_property
    def paths(self):
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=self.root, capture_output=True, check=True, text=True).stdout
        return sorted({path for path in listed.split("\0") if (self.root / path).is_file()})

    @property
    def code(self):
        return [path for path in self.paths if pathlib.PurePath(path).suffix in CODE_SUFFIXES]

    @functools.lru_cache(maxsize=None)
    def lines(self, path):
        """The lines of a text file, without their ends; none for a binary file."""
        data = (self.root / path).read_bytes()
        if b"\0" in data:
            return []
        return data.decode("utf-8", errors="replace").split("\n")

    @functools.lru_cache(maxsize=None)
    def includes(self, path):
        found = []
        for number, line in enumerate(self.lines(path), 1):
            match = INCLUDE.match(line)
            if match:
                found.append(Include(number, match[2] or match[3], quoted=match[3] is not None))
        return found
