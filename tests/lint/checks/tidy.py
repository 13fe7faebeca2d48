"""clang-tidy 19 with the checks of .clang-tidy, over every source file of the product. LINT_TIDY=changed looks only at files
that differ from the last commit."""
import concurrent.futures
import os
import re
import subprocess

from checks import tracked


def tidy(path):
    command = ["clang-tidy-19", "--quiet", "-p", "build/release", "--extra-arg=-Wno-unknown-warning-option",
               "--extra-arg=-Wno-error", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if re.search(r": (error|warning): ", line)]
    if done.returncode != 0 and not lines:
        lines = [f"{path}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'clang-tidy failed'}"]
    return lines


def run(tree):
    if not (tree / "build/release/compile_commands.json").exists():
        return ["build/release is not configured; cmake --preset release"]
    files = tracked("base/*.cc", "devices/*.cc", "migration/*.cc", "vmm/*.cc", "libvirt-driver/*.cc")
    if os.environ.get("LINT_TIDY") == "changed":
        changed = subprocess.run(["git", "diff", "--name-only", "HEAD"], check=True, capture_output=True, text=True).stdout.split()
        files = [path for path in files if path in changed]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        lines = {line.replace(f"{tree}/", "") for found in pool.map(tidy, files) for line in found}
    return sorted(lines)
