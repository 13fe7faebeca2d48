"""The checks of tests/lint/run, and what they share."""
import os
import subprocess

MODE = os.environ.get("LINT_TIDY", "")
RECENT = 20  # commits and merges


def tracked(*patterns):
    """Files of the project that match the git patterns, committed or new."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns], check=True, capture_output=True,
                         text=True)
    return [line for line in out.stdout.splitlines() if line]


def changed_recently():
    """Files that the last RECENT steps of the history have touched, or that differ from it; None when the history is shorter."""
    done = subprocess.run(["git", "diff", "--name-only", f"HEAD~{RECENT}"], check=False, capture_output=True, text=True)
    return set(done.stdout.split()) if done.returncode == 0 else None
