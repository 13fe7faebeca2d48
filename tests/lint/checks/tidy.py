"""clang-tidy 19 with the checks of .clang-tidy, over every source file of the product.

LINT_TIDY=changed looks only at files that differ from the last commit; LINT_TIDY=recent at those that the last steps of the
history (RECENT in __init__.py) have touched, and for a header at the file of its name or one that includes it, without the analyzer, which takes most of
the time: what continuous integration does; LINT_TIDY=deep lets the analyzer follow paths as far as its own limits go, at three times
the time. LINT_JOBS: how many run at once.
What was found in a file is kept in build/lint-cache until the file, a project header it includes, its compile command or .clang-tidy
changes.

Most of the time goes into the headers of libraries, so several files are looked at as one.
"""
import concurrent.futures
import hashlib
import json
import os
import re
import shlex
import subprocess

from checks import MODE, changed_recently, tracked

CACHE = "build/lint-cache"
GROUP = 8  # files
HEADERS = r"((base|devices|migration|vmm)/.*\.h|\.cc)$"  # as in .clang-tidy; a group's files count as headers
COMMAND = ["clang-tidy-19", "--quiet", "--extra-arg=-Wno-unknown-warning-option", "--extra-arg=-Wno-error"]
if MODE != "deep":  # the analyzer's own limit is 225000 states of one function, and most of the time goes there
    COMMAND += ["--extra-arg=" + word for word in ("-Xclang", "-analyzer-config", "-Xclang", "max-nodes=20000")]
if MODE == "recent":
    COMMAND.append("--checks=-clang-analyzer-*")

# The analyzer does not follow how coroutines pass control to one another and finds null frames in Asio's own headers.
NOT_OURS = re.compile(r"^/usr/include/boost/asio/.*\[clang-analyzer-")


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

    def flags(self, path):
        """How it is compiled, without the names of files; precompiled headers are another compiler's."""
        words = shlex.split(self.commands.get(str(self.tree / path), "c++ -std=c++23"))[1:]
        while words and not words[0].startswith("-"):
            words = words[1:]  # the compiler, behind a cache of compilations and its settings
        named = ("-c", "-o", "-include")
        return [w for i, w in enumerate(words) if w not in (*named, "-Winvalid-pch") and words[i - 1] not in named]

    def seen(self, path):
        """The file and all of the project that it includes."""
        seen = {path}
        waiting = [path]
        while waiting:
            new = set(self.headers(waiting.pop())) - seen
            seen |= new
            waiting += new
        return seen

    def entry(self, path):
        """Where the file's complaints are kept."""
        seen = self.seen(path)
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


def own_names(text):
    """What a file declares for itself alone, as far as lines without indentation in its unnamed namespaces tell."""
    names = set()
    for part in re.findall(r"^namespace \{$(.*?)^\}  // namespace$", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^[A-Za-z\[].*", part, re.MULTILINE):
            if not re.match(r"using namespace|template", line):
                head = re.split(r"[({=;]", re.sub(r"<[^()]*>", "", line), maxsplit=1)[0]
                names |= set(re.findall(r"\w+", head)[-1:])
    return names


def grouped(cache, paths):
    """The paths in groups of GROUP that are compiled with the same flags."""
    kinds = {}
    for path in paths:
        kinds.setdefault(tuple(cache.flags(path)), []).append(path)
    return [kind[i : i + GROUP] for kind in kinds.values() for i in range(0, len(kind), GROUP)]


def as_one(cache, paths):
    """The text of one file of these. All that they include comes first, so that renaming touches nothing but themselves."""
    texts = {path: (cache.tree / path).read_text() for path in paths}
    lines = list(dict.fromkeys(line for text in texts.values() for line in re.findall(r"^#include .*", text, re.MULTILINE)))
    taken = set()
    for number, (path, text) in enumerate(texts.items()):
        names = own_names(text)
        twice = sorted(names & taken)
        taken |= names
        lines += [f"#define {name} {name}{number}" for name in twice]
        lines.append(f'#include "{path}"')
        lines += [f"#undef {name}" for name in twice]
    return "".join(line + "\n" for line in lines)


def look_at(cache, words, name):
    """What clang-tidy says, a set of lines; one of them about `name` if it could not work at all."""
    done = subprocess.run([*COMMAND, *words], capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if re.search(r": (error|warning): ", line)]
    if done.returncode != 0 and not told:
        return {f"{name}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'clang-tidy failed'}"}
    return {line.replace(f"{cache.tree}/", "") for line in told if not NOT_OURS.search(line)}


def file_of(line):
    return line.split(":", 1)[0]


def tidy_one(cache, path):
    entry = cache.entry(path)
    found = sorted(look_at(cache, [path, "--", *cache.flags(path)], path))
    cache.keep(path, entry, found)
    return found


def tidy(cache, paths):
    """Complaints about these files; those that do not compile in company are looked at alone."""
    if len(paths) < 2:
        return [line for path in paths for line in tidy_one(cache, path)]
    entries = {path: cache.entry(path) for path in paths}
    one = cache.folder / f"{paths[0].replace('/', '-')}.group.cc"
    one.write_text(as_one(cache, paths))
    found = look_at(cache, [f"--header-filter={HEADERS}", str(one), "--", *cache.flags(paths[0]), f"-I{cache.tree}"], paths[0])
    one.unlink()
    found = {line for line in found if "[bugprone-suspicious-include" not in line or not file_of(line).endswith(one.name)}
    wrong = {file_of(line) for line in found if "[clang-diagnostic-error" in line}
    if wrong:
        alone = [path for path in paths if path in wrong] or paths
        company = [path for path in paths if path not in alone]
        return [line for path in alone for line in tidy_one(cache, path)] + tidy(cache, company)
    for path in paths:
        seen = cache.seen(path)
        cache.keep(path, entries[path], sorted(line for line in found if file_of(line) in seen))
    return sorted(found)


def recent(cache, files):
    """Those that have changed in the last steps, and one for each header that has; all of them when the history is shorter."""
    changed = changed_recently()
    if changed is None or ".clang-tidy" in changed:
        return files
    chosen = {path for path in files if path in changed}
    for header in sorted(path for path in changed if path.endswith(".h")):
        users = [path for path in files if header in cache.seen(path)]
        if users and chosen.isdisjoint(users):
            own = header[:-1] + "cc"
            chosen.add(own if own in users else users[0])
    return sorted(chosen)


def run(tree):
    if not (tree / "build/release/compile_commands.json").exists():
        return ["build/release is not configured; cmake --preset release"]
    files = tracked("base/*.cc", "devices/*.cc", "migration/*.cc", "vmm/*.cc", "libvirt-driver/*.cc")
    if MODE == "changed":
        changed = subprocess.run(["git", "diff", "--name-only", "HEAD"], check=True, capture_output=True, text=True).stdout.split()
        files = [path for path in files if path in changed]
    cache = Cache(tree)
    if MODE == "recent":
        files = recent(cache, files)
    known = {path: cache.find(path) for path in files}
    groups = grouped(cache, [path for path in files if known[path] is None])
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("LINT_JOBS", 0)) or os.cpu_count()) as pool:
        new = [line for found in pool.map(lambda paths: tidy(cache, paths), groups) for line in found]
    return sorted({*new, *(line for lines in known.values() for line in lines or [])})
