#!/usr/bin/env python3
"""Gives each check a tree that it must pass and trees that it must not."""

import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

import tidy
from checks.tree import Tree

HEADER = "#pragma once\n"


class TidyTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        subprocess.run(["git", "init", "--quiet", self.root], check=True)

    def findings(self, check, files, compiled=None):
        """What `check` says of a tree that holds these files (name -> text)."""
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if name.startswith("scripts/") else 0o644)
        commands = None
        if compiled is not None:
            commands = self.root / ".git/compile_commands.json"
            commands.write_text(json.dumps(
                [{"directory": str(self.root), "file": name} for name in compiled]))
        return [str(found) for found in tidy.CHECKS[check](Tree(self.root, commands))]

    def assert_clean(self, check, files, **options):
        self.assertEqual(self.findings(check, files, **options), [])

    def assert_found(self, check, files, place, words, **options):
        found = self.findings(check, files, **options)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(place + ":"), found)
        self.assertIn(words, found[0])


class Layers(TidyTest):
    FILES = {"index/a.h": HEADER, "reuse/b.h": HEADER, "adapters/x.h": HEADER,
             "adapters/one/c.h": HEADER, "adapters/two/d.h": HEADER, "broker/e.h": HEADER,
             "broker/include/spolia/f.h": HEADER}

    def test_leftward(self):
        self.assert_clean("layers", self.FILES | {
            "broker/e.cpp": '#include "broker/e.h"\n#include "adapters/one/c.h"\n',
            "adapters/one/c.cpp": '#include "adapters/x.h"\n#include "index/a.h"\n',
            "examples/g.cpp": "#include <spolia/f.h>\n"})

    def test_rightward(self):
        self.assert_found("layers", self.FILES | {"index/a.cpp": '\n#include "reuse/b.h"\n'},
                          "index/a.cpp:2", "to its right")

    def test_rightward_through_public_headers(self):
        self.assert_found("layers", self.FILES | {"reuse/b.cpp": "#include <spolia/f.h>\n"},
                          "reuse/b.cpp:1", "to its right")

    def test_sibling_adapters(self):
        self.assert_found("layers", self.FILES | {
            "adapters/one/c.cpp": '#include "adapters/two/d.h"\n'},
            "adapters/one/c.cpp:1", "adapter two")

    def test_example_behind_public_headers(self):
        self.assert_found("layers", self.FILES | {"examples/g.cpp": '#include "broker/e.h"\n'},
                          "examples/g.cpp:1", "public headers")

    def test_include_from_the_folder(self):
        self.assert_found("layers", self.FILES | {"index/a.cpp": '#include "a.h"\n'},
                          "index/a.cpp:1", 'root, "index/a.h"')


class Includers(TidyTest):
    def test_allowed(self):
        self.assert_clean("includers", {
            "index/fingerprint.cpp": "#include <xxhash.h>\n",
            "adapters/llama/engine.cpp": "#include <llama.h>\n#include <ggml-cpu.h>\n",
            "adapters/openai/client.cpp": "#include <boost/beast.hpp>\n",
            "broker/wire/json.cpp": "#include <nlohmann/json.hpp>\n",
            "broker/log.h": HEADER, "broker/log.cpp": '#include "broker/log.h"\n'})

    def test_each_library_elsewhere(self):
        for name in ["xxhash.h", "utf8proc.h", "faiss/IndexHNSW.h", "llama.h",
                     "ggml-backend.h", "gguf.h",
                     "chat.h", "llama-common/common.h", "boost/asio.hpp",
                     "boost/unordered/unordered_flat_map.hpp", "nlohmann/json.hpp",
                     "spdlog/spdlog.h", "prometheus/counter.h", "toml++/toml.h", "CLI/CLI.hpp",
                     "gtest/gtest.h", "benchmark/benchmark.h", "sqlite3.h"]:
            with self.subTest(name):
                self.assert_found("includers", {"reuse/a.cpp": f"\n#include <{name}>\n"},
                                  "reuse/a.cpp:2", "belongs to")

    def test_quoted(self):
        self.assert_found("includers", {"broker/a.cpp": '#include "llama.h"\n'},
                          "broker/a.cpp:1", "llama.cpp")


class DeadFiles(TidyTest):
    FILES = {"index/a.h": HEADER, "index/a.cpp": '#include "index/a.h"\n',
             "broker/include/spolia/b.h": HEADER, "examples/b.cpp": "#include <spolia/b.h>\n"}

    def test_all_used(self):
        self.assert_clean("dead_files", self.FILES, compiled=["index/a.cpp", "examples/b.cpp"])

    def test_header(self):
        self.assert_found("dead_files", self.FILES | {"reuse/c.h": HEADER}, "reuse/c.h:1",
                          "no file includes")

    def test_source(self):
        self.assert_found("dead_files", self.FILES, "examples/b.cpp:1", "no target",
                          compiled=["index/a.cpp"])


class Text(TidyTest):
    def test_plain(self):
        self.assert_clean("text", {
            "index/a.h": HEADER + "// A path such as docs/home/page.md or https://host/home/x.\n",
            "README.md": "x" * 200 + "\n", "Makefile": "all:\n\ttrue\n", "empty": ""})

    def test_each_line(self):
        for line, words in [("// TO" + "DO: later", "unfinished"), ("// FIX" + "ME", "unfinished"),
                            ('open("/ro' + 'ot/x");', "one machine"),
                            ('open("/ho' + 'me/me/x");', "one machine"),
                            ("// regis" + "try.npmjs.org", "registry"), ("int a; ", "white space"),
                            ("int a;\r", "carriage return"), ("\tint a;", "tab"),
                            ("// " + "-" * 20, "divider"), ("/" * 40, "divider"),
                            ("// " + "long " * 20 + "x", "columns")]:
            with self.subTest(line):
                self.assert_found("text", {"index/a.cpp": f"int b;\n{line}\n"},
                                  "index/a.cpp:2", words)

    def test_no_line_feed_at_the_end(self):
        self.assert_found("text", {"index/a.cpp": "int a;"}, "index/a.cpp:1", "no line feed")

    def test_no_pragma_once(self):
        self.assert_found("text", {"index/a.h": "int a();\n"}, "index/a.h:1", "#pragma once")


class Links(TidyTest):
    FILES = {"docs/guide.md": "# A guide: `part` one\n\n```\n[code](no/file)\n```\n"}

    def test_resolved(self):
        self.assert_clean("links", self.FILES | {
            "README.md": "# Top\n[a](docs/guide.md) [b](docs/guide.md#a-guide-part-one) [c](#top) "
                         "[d](https://example.org/) [e](docs)\n"})

    def test_no_file(self):
        self.assert_found("links", self.FILES | {"README.md": "\n[a](docs/gone.md)\n"},
                          "README.md:2", "does not exist")

    def test_no_heading(self):
        self.assert_found("links", self.FILES | {"README.md": "[a](docs/guide.md#two)\n"},
                          "README.md:1", "anchor")


class Routes(TidyTest):
    FILES = {"broker/http/router.cpp": '    {"GET", "/a", handle_a},\n'
                                       '    {"PUT", "/a/*", handle_put},\n',
             "docs/http.md": "| `GET /a` | a |\n| `PUT /a/{key}` | a |\n| `GET /health` | it |\n"}

    def test_all_described(self):
        self.assert_clean("routes", self.FILES)
        self.assert_clean("routes", {})

    def test_not_described(self):
        self.assert_found("routes", self.FILES | {"docs/http.md": "`PUT /a/{key}`"},
                          "broker/http/router.cpp:1", "GET /a is not in")

    def test_not_there(self):
        self.assert_found("routes", self.FILES | {
            "docs/http.md": self.FILES["docs/http.md"] + "| `PUT /a` | b |\n"},
            "docs/http.md:4", "there is no PUT /a")

    def test_no_route_is_found(self):
        self.assert_found("routes", {"broker/http/router.cpp": "routes();\n"},
                          "broker/http/router.cpp:1", "no route is found")


class Scripts(TidyTest):
    GOOD = "#!/usr/bin/env bash\nset -euo pipefail\necho 'Usage: good'\n"

    def test_good(self):
        self.assert_clean("scripts", {"scripts/good": self.GOOD})

    def test_not_executable(self):
        self.findings("scripts", {"scripts/good": self.GOOD})
        (self.root / "scripts/good").chmod(0o644)
        self.assertIn("not executable", self.findings("scripts", {})[0])

    def test_goes_on_after_failure(self):
        self.assert_found("scripts", {"scripts/bad": self.GOOD.replace("set -euo pipefail\n", "")},
                          "scripts/bad:1", "goes on after a failure")

    def test_no_usage(self):
        self.assert_found("scripts", {"scripts/bad": self.GOOD.replace("Usage", "Hello")},
                          "scripts/bad:1", "no usage")

    def test_usage_fails(self):
        self.assert_found("scripts", {"scripts/bad": self.GOOD + "exit 1\n"}, "scripts/bad:1",
                          "no usage")


class UniqueTypes(TidyTest):
    def test_one_type_a_name(self):
        self.assert_clean("unique_types", {
            "index/a.h": HEADER + "struct A {\n    struct Part {};\n};\nclass B;\n",
            "reuse/b.h": HEADER + "class B final : public A {\n    struct Part {};\n};\n"})

    def test_two_types_of_one_name(self):
        self.assert_found("unique_types", {
            "broker/a.h": HEADER + "struct Reply {\n};\n",
            "broker/http/b.h": HEADER + "class Reply final : public Base {\n};\n"},
            "broker/http/b.h:2", "also defined in broker/a.h")


class CommandLine(TidyTest):
    def run_tidy(self, *arguments):
        return subprocess.run([sys.executable, tidy.__file__, "--root", self.root, *arguments],
                              capture_output=True, text=True, check=False)

    def test_exit_status_and_output(self):
        self.findings("text", {"index/a.cpp": "int a;\n"})
        self.assertEqual(self.run_tidy("text").returncode, 0)
        self.findings("text", {"index/a.cpp": "\tint a;\n"})
        run = self.run_tidy("text")
        self.assertEqual(run.returncode, 1)
        self.assertIn("index/a.cpp:1: a tab", run.stdout)

    def test_unknown_check(self):
        self.assertEqual(self.run_tidy("taste").returncode, 2)


if __name__ == "__main__":
    unittest.main()
