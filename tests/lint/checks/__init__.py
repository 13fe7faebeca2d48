"""The checks of tests/lint/run, and what they share."""
import subprocess


def tracked(*patterns):
    """Files of the project that match the git patterns, committed or new."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns], check=True, capture_output=True,
                         text=True)
    return [line for line in out.stdout.splitlines() if line]
