"""docs/http.md names each route that the router has, and no other."""

import re

from checks.tree import Finding

ROUTER = "broker/http/router.cpp"
DOCUMENT = "docs/http.md"
ROUTE = re.compile(r'\{"([A-Z]+)", "(/[^"]*)", handle_\w+\}')
NAMED = re.compile(r"`([A-Z]+) (/[^`]*)`")
# Answered in front of the table of routes.
APART = {("GET", "/health"), ("GET", "/v1/health"), ("GET", "/v1/upstreams"),
         ("POST", "/v1/upstreams/*/drain"), ("POST", "/v1/upstreams/*/undrain")}


def found(tree, path, pattern):
    """Line number by (method, path); any text in a path is `*`."""
    return {(method, re.sub(r"\{\w+\}", "*", route)): number
            for number, line in enumerate(tree.lines(path), 1)
            for method, route in pattern.findall(line)}


def check(tree):
    if ROUTER not in tree.paths:
        return
    routes = found(tree, ROUTER, ROUTE)
    if not routes:
        yield Finding(ROUTER, 1, "no route is found: adapt tests/tidy/checks/routes.py")
    rows = found(tree, DOCUMENT, NAMED) if DOCUMENT in tree.paths else {}
    for route, number in routes.items():
        if route not in rows:
            yield Finding(ROUTER, number,
                          f"{' '.join(route)} is not in {DOCUMENT}: describe it there")
    for route, number in rows.items():
        if route not in routes and route not in APART:
            yield Finding(DOCUMENT, number, f"there is no {' '.join(route)}: remove it")
