#!/usr/bin/env python3
"""Checks what the compiler does not: layers, includers, dead files, text, links, routes, scripts.

Usage: tidy.py [--root DIR] [--compile-commands FILE] [CHECK...]

Prints `file:line: what is wrong: what to do` for each finding and fails if there is any.
"""

import argparse
import pathlib
import sys

from checks import dead_files, includers, layers, links, routes, scripts, text, unique_types
from checks.tree import Tree

CHECKS = {
    "layers": layers.check,
    "includers": includers.check,
    "dead_files": dead_files.check,
    "text": text.check,
    "links": links.check,
    "routes": routes.check,
    "scripts": scripts.check,
    "unique_types": unique_types.check,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--compile-commands", type=pathlib.Path,
                        help="compile_commands.json of a build of everything, for dead_files")
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    arguments = parser.parse_args()
    unknown = set(arguments.checks) - set(CHECKS)
    if unknown:
        parser.error(f"no such check: {', '.join(sorted(unknown))}")

    tree = Tree(arguments.root, arguments.compile_commands)
    findings = [finding for name in arguments.checks or CHECKS for finding in CHECKS[name](tree)]
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
