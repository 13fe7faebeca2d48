"""Every header compiles by itself, without the headers that the build has precompiled. LINT_TIDY=recent: those that have changed of
late, and those that no source file includes first."""
import concurrent.futures
import os
import subprocess

from checks import MODE, changed_recently, tracked


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


def run(tree):
    headers = tracked("base/*.h", "devices/*.h", "migration/*.h", "vmm/*.h", "libvirt-driver/*.h")
    if MODE == "recent" and (changed := changed_recently()) is not None:
        headers = [path for path in headers if path in changed or not included_first(tree, path)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [complaint for complaint in pool.map(compiles, headers) if complaint]
