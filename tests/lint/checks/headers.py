"""Every header compiles by itself, without the headers that the build has precompiled.

One whose source file includes it first is proven by the build as far as the project's own names go; for it, what is used of the
standard library must be included by it or by a header of the project that it includes. The others are compiled here.
"""
import concurrent.futures
import os
import re
import subprocess

from checks import tracked

STANDARD = {
    "array": "array",
    "atomic": "atomic",
    "chrono": "chrono",
    "cstddef": "byte",
    "cstdint": "",
    "cstring": "memcpy memset memcmp memmove",
    "deque": "deque",
    "expected": "expected unexpected",
    "functional": "function",
    "list": "list",
    "map": "map multimap",
    "memory": "unique_ptr shared_ptr weak_ptr make_unique make_shared enable_shared_from_this",
    "mutex": "mutex scoped_lock unique_lock lock_guard",
    "optional": "optional nullopt",
    "set": "set multiset",
    "span": "span as_bytes as_writable_bytes",
    "string": "string to_string",
    "string_view": "string_view",
    "thread": "thread jthread",
    "unordered_map": "unordered_map",
    "unordered_set": "unordered_set",
    "utility": "exchange",
    "variant": "variant get_if holds_alternative visit monostate",
    "vector": "vector",
}
WHERE = {name: header for header, names in STANDARD.items() for name in names.split()}
# What one of them brings with it, by the standard or by any sense.
BRINGS = {"string": {"string_view"}, "expected": {"utility"}, "functional": {"utility"}, "map": {"utility"}, "memory": {"utility"},
          "unordered_map": {"utility"}, "optional": {"utility"}, "variant": {"utility"}, "vector": {"utility"}, "span": {"cstddef"},
          "thread": {"chrono"}, "array": {"cstddef"}, "cstring": {"cstddef"}, "set": {"utility"}, "deque": {"utility"}}
COMMENT = re.compile(r"//[^\n]*")


def compiles(path):
    command = ["g++", "-std=c++23", "-D_GNU_SOURCE", "-I.", "-Ibuild/release/generated", "-I/usr/include/libxml2", "-Wall", "-Wextra", "-Werror",
               "-Wno-missing-field-initializers", "-Wno-maybe-uninitialized", "-fsyntax-only", "-x", "c++", "-include", path, "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    first = next((line for line in done.stderr.splitlines() if "error" in line), "")
    return "" if done.returncode == 0 else f"{path}: does not compile alone: {first}"


def included_first(tree, header):
    source = tree / (header[:-2] + ".cc")
    if not source.exists():
        return False
    first = next((line for line in source.read_text().splitlines() if line.startswith("#include")), "")
    return first == f'#include "{header}"'


class Includes:
    """Which headers of the standard library a header of the project gives."""

    def __init__(self, tree):
        self.tree = tree
        self.known = {}

    def of(self, path):
        if path not in self.known:
            self.known[path] = given = set()
            file = self.tree / path
            if file.exists():
                text = file.read_text()
                for name in re.findall(r"^#include <([a-z_]+)>", text, re.MULTILINE):
                    given |= {name} | BRINGS.get(name, set())
                for name in re.findall(r'^#include "([^"]+)"', text, re.MULTILINE):
                    given |= self.of(name)
        return self.known[path]

    def complaints(self, path):
        text = COMMENT.sub("", (self.tree / path).read_text())
        wanted = {WHERE[name] for name in re.findall(r"\bstd::(\w+)", text) if name in WHERE}
        if re.search(r"\bu?int(8|16|32|64)_t\b", text):
            wanted.add("cstdint")
        return [f"{path}: uses <{header}> and does not include it" for header in sorted(wanted - self.of(path))]


def run(tree):
    headers = tracked("base/*.h", "devices/*.h", "migration/*.h", "vmm/*.h", "libvirt-driver/*.h")
    alone = [path for path in headers if not included_first(tree, path)]
    includes = Includes(tree)
    found = [line for path in headers if path not in alone for line in includes.complaints(path)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return found + [complaint for complaint in pool.map(compiles, alone) if complaint]
