"""Every header compiles by itself. One whose source file includes it first is proven by the build; the others are compiled here."""
import concurrent.futures
import os
import subprocess

from checks import tracked


def compiles(path):
    command = ["g++", "-std=c++23", "-D_GNU_SOURCE", "-I.", "-Ibuild/release/generated", "-I/usr/include/libxml2", "-Wall", "-Wextra", "-Werror",
               "-Wno-missing-field-initializers", "-Wno-maybe-uninitialized", "-fsyntax-only", "-x", "c++", "-include", path, "/dev/null"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    first = next((line for line in done.stderr.splitlines() if "error" in line), "")
    return "" if done.returncode == 0 else f"{path}: does not compile alone: {first}"


def proven_by_build(tree, header):
    source = tree / (header[:-2] + ".cc")
    if not source.exists():
        return False
    first = next((line for line in source.read_text().splitlines() if line.startswith("#include")), "")
    return first == f'#include "{header}"'


def run(tree):
    headers = [path for path in tracked("base/*.h", "devices/*.h", "migration/*.h", "vmm/*.h", "libvirt-driver/*.h")
               if not proven_by_build(tree, path)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [complaint for complaint in pool.map(compiles, headers) if complaint]
