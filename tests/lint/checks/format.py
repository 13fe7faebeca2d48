"""clang-format agrees with every C++ file."""
import subprocess

from checks import tracked


def run(_tree):
    files = [path for path in tracked("*.cc", "*.h") if not path.startswith("tests/guests/")]
    check = subprocess.run(["clang-format-19", "--dry-run", "--Werror", *files], capture_output=True, text=True, check=False)
    seen = sorted({line.split(":")[0] for line in check.stderr.splitlines() if "error:" in line})
    return [f"{path}: clang-format-19 -i {path}" for path in seen]
