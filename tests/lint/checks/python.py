"""Python and shell files parse; tests wait on conditions and never sleep."""
import ast
import re
import subprocess

from checks import tracked

SLEEP = re.compile(r"\b(time\.sleep|usleep|nanosleep|sleep_for|sleep_until)\b")


def run(tree):
    complaints = []
    for path in tracked("*.py", "tests/sandbox/sandbox", "tests/lint/run", "benchmarks/run", "scripts/*"):
        text = (tree / path).read_text()
        first = text.splitlines()[0] if text else ""
        if path.endswith(".py") or "python" in first:
            try:
                ast.parse(text)
            except SyntaxError as error:
                complaints.append(f"{path}:{error.lineno}: {error.msg}")
        elif "sh" in first:
            check = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
            if check.returncode != 0:
                complaints.append(f"{path}: {check.stderr.strip()}")
    for path in tracked("tests/*.py", "tests/*.cc", "tests/*.h"):
        if path.startswith("tests/lint/"):
            continue
        for number, line in enumerate((tree / path).read_text().splitlines(), 1):
            if SLEEP.search(line):
                complaints.append(f"{path}:{number}: sleeps; wait for a condition")
    return complaints
