"""Text files: no tabs or trailing blanks in sources, a line break at the end, no machine's own paths."""
import re

from checks import tracked

SUFFIXES = (".cc", ".h", ".py", ".md", ".txt", ".cmake", ".json", ".S", ".ld")
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:work|farm)/")


def run(tree):
    complaints = []
    for path in tracked():
        if not path.endswith(SUFFIXES) or path.startswith(("tests/fuzz/corpus/", "tests/state/")):
            continue
        text = (tree / path).read_text(errors="replace")
        if text and not text.endswith("\n"):
            complaints.append(f"{path}: the last line has no end")
        for number, line in enumerate(text.splitlines(), 1):
            if len(line) > 160 and path.endswith((".cc", ".h", ".py")):
                complaints.append(f"{path}:{number}: {len(line)} characters")
            if line != line.rstrip():
                complaints.append(f"{path}:{number}: blanks at the end of the line")
            if "\t" in line:
                complaints.append(f"{path}:{number}: a tab")
            if MACHINE_PATH.search(line):
                complaints.append(f"{path}:{number}: a path of one machine")
    return complaints
