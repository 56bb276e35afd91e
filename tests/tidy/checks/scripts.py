"""Every script can be run, says how it is used, and stops at the first failure."""

import os
import subprocess

from checks.tree import Finding

HELP_SECONDS_MAX = 20


def help_problem(file):
    try:
        run = subprocess.run([file, "--help"], capture_output=True, text=True, check=False,
                             stdin=subprocess.DEVNULL, timeout=HELP_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"--help does not run ({error}): give the script a usage"
    if run.returncode != 0 or not run.stdout.lower().startswith("usage:"):
        return "--help prints no usage: print one that starts with 'Usage:' and exit with 0"
    return None


def check(tree):
    for path in tree.paths:
        if not path.startswith("scripts/") or "." in path.rsplit("/", 1)[1]:
            continue
        lines = tree.lines(path)
        if not os.access(tree.root / path, os.X_OK):
            yield Finding(path, 1, "not executable: chmod +x")
            continue
        if "bash" in lines[0] and "set -euo pipefail" not in lines:
            yield Finding(path, 1, "goes on after a failure: begin with set -euo pipefail")
        problem = help_problem(tree.root / path)
        if problem:
            yield Finding(path, 1, problem)
