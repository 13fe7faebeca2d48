"""No file over 600 lines; 200 is usual, 400 long."""
from checks import tracked

LIMIT = 600


def run(tree):
    complaints = []
    for path in tracked("*.cc", "*.h", "*.py", "*.S", "*.sh", "quickstart", "run-tests"):
        lines = len((tree / path).read_text().splitlines())
        if lines > LIMIT:
            complaints.append(f"{path}: {lines} lines, at most {LIMIT}; split it by what it does")
    return complaints
