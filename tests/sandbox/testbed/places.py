"""Where things lie, and how problems and progress are told."""
import os
import shutil
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TREE = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
STATE = f"{TREE}/build/sandbox"
INSTANCES = f"{STATE}/instances"
LOGS = f"{STATE}/logs"
GUEST = f"{TREE}/build/guest"
INSTANCE_VARIABLE = "LODGE_SANDBOX"  # names the instance that nested runs are to use


class Problem(Exception):
    """An error to be told to the user in one line: object, cause, remedy."""


def progress(text):
    """A line about a step that takes a while."""
    print(f"==> {text}", file=sys.stderr, flush=True)


def tool(name, package):
    """The path of a program, also when sbin is not in PATH."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    found = shutil.which(name, path=path)
    if not found:
        raise Problem(f"{name}: not installed; run scripts/install-packages test (Debian package {package})")
    return found
