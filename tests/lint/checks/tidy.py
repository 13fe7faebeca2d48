"""clang-tidy 19 with the checks of .clang-tidy, over every source file of the product.

LINT_TIDY=changed looks only at files that differ from the last commit; LINT_TIDY=deep lets the analyzer follow paths
as far as its own limits go, at three times the time. LINT_JOBS: how many run at once. What was found in a file is kept in
build/lint-cache until the file, a project header it includes, its compile command or .clang-tidy changes.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import subprocess

from checks import tracked

CACHE = "build/lint-cache"
MODE = os.environ.get("LINT_TIDY", "")
COMMAND = ["clang-tidy-19", "--quiet", "-p", "build/release", "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-error"]
if MODE != "deep":  # the analyzer's own limit is 225000 states of one function, and most of the time goes there
    COMMAND += ["--extra-arg=" + word for word in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=20000")]

# The analyzer does not follow how coroutines pass control to one another and finds null frames in Asio's own header.
NOT_OURS = re.compile(r"^/usr/include/boost/asio/impl/awaitable\.hpp:.*\[clang-analyzer-core\.")


class Cache:
    """Complaints by a hash of all that can change them."""

    def __init__(self, tree):
        self.tree = tree
        self.folder = tree / CACHE
        self.folder.mkdir(parents=True, exist_ok=True)
        version = subprocess.run([COMMAND[0], "--version"], check=True, capture_output=True).stdout
        self.common = version + " ".join(COMMAND).encode() + (tree / ".clang-tidy").read_bytes()
        entries = json.loads((tree / "build/release/compile_commands.json").read_text())
        self.commands = {entry["file"]: entry["command"] for entry in entries}
        self.includes = {}

    def headers(self, path):
        """Project headers that the file includes itself."""
        if path not in self.includes:
            named = re.findall(r'^#include "([^"]+)"', (self.tree / path).read_text(), re.MULTILINE)
            self.includes[path] = [name for name in named if (self.tree / name).exists()]
        return self.includes[path]

    def entry(self, path):
        """Where the file's complaints are kept."""
        seen = {path}
        waiting = [path]
        while waiting:
            new = set(self.headers(waiting.pop())) - seen
            seen |= new
            waiting += new
        key = hashlib.sha256(self.common + self.commands.get(str(self.tree / path), "").encode())
        for name in sorted(seen):
            key.update(name.encode() + b"\0" + (self.tree / name).read_bytes())
        return self.folder / f"{path.replace('/', '-')}.{MODE if MODE == 'deep' else 'usual'}.{key.hexdigest()[:32]}"

    def find(self, path):
        entry = self.entry(path)
        return entry.read_text().splitlines() if entry.exists() else None

    def keep(self, path, entry, lines):
        if entry != self.entry(path):
            return  # edited meanwhile
        for old in self.folder.glob(entry.name.rsplit(".", 1)[0] + ".*"):
            old.unlink(missing_ok=True)
        entry.write_text("".join(line + "\n" for line in lines))


def tidy(cache, path):
    if (lines := cache.find(path)) is not None:
        return lines
    entry = cache.entry(path)
    done = subprocess.run([*COMMAND, path], capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if re.search(r": (error|warning): ", line)]
    found = {line.replace(f"{cache.tree}/", "") for line in told if not NOT_OURS.search(line)}
    if done.returncode != 0 and not told:
        return [f"{path}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'clang-tidy failed'}"]
    cache.keep(path, entry, sorted(found))
    return sorted(found)


def run(tree):
    if not (tree / "build/release/compile_commands.json").exists():
        return ["build/release is not configured; cmake --preset release"]
    files = tracked("base/*.cc", "devices/*.cc", "migration/*.cc", "vmm/*.cc", "libvirt-driver/*.cc")
    if MODE == "changed":
        changed = subprocess.run(["git", "diff", "--name-only", "HEAD"], check=True, capture_output=True, text=True).stdout.split()
        files = [path for path in files if path in changed]
    cache = Cache(tree)
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("LINT_JOBS", 0)) or os.cpu_count()) as pool:
        return sorted({line for found in pool.map(lambda path: tidy(cache, path), files) for line in found})
