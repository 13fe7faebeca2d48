"""The instances that are up: a folder each under build/sandbox/instances/, with a socket and a description."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys

from . import l1_image
from .places import INSTANCES, TREE, Problem

SOCKET = "keeper.sock"
DESCRIPTION = "instance.json"


@contextlib.contextmanager
def _short_path(folder):
    """A path for a socket in the folder that fits into a socket address however long the folder's path is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def bind_socket(folder):
    """The keeper's listening socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with _short_path(folder) as path:
        listener.bind(path)
    listener.listen(64)
    return listener


def connect(name):
    """A connection to an instance's keeper."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _short_path(f"{INSTANCES}/{name}") as path:
            client.connect(path)
    except OSError as error:
        raise Problem(f"instance {name}: {error.strerror}; it has ended; see 'sandbox status'") from error
    return client


def describe(folder, facts):
    """Publishes an instance that is ready."""
    path = f"{folder}/{DESCRIPTION}"
    with open(path + ".new", "w") as file:
        json.dump(facts, file)
    os.rename(path + ".new", path)


def alive(pid):
    """Whether the process exists (and is no zombie)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def instances():
    """Name -> description of every instance that is ready; remains of dead ones are removed."""
    found = {}
    if not os.path.isdir(INSTANCES):
        return found
    for name in sorted(os.listdir(INSTANCES)):
        try:
            with open(f"{INSTANCES}/{name}/{DESCRIPTION}") as file:
                facts = json.load(file)
        except (OSError, ValueError):
            facts = None
        keeper = facts["pid"] if facts else int(name.rpartition("-")[2])
        if not alive(keeper):
            shutil.rmtree(f"{INSTANCES}/{name}", ignore_errors=True)
        elif facts:
            found[name] = facts
    return found


def find(config):
    """A started instance that fits: same size, no disks wanted or had, nobody's property."""
    for name, facts in instances().items():
        same = all(facts[key] == config[key] for key in ("smp", "mem", "disks"))
        if same and facts["shared"]:
            return name
    return None


def launch(config, owned):
    """Starts a keeper and waits until its machine is up; returns (name, keeper process).

    An owned instance ends with this process. Its name carries a process id by which instances() knows what is dead.
    """
    l1_image.build()  # here, where its progress is seen
    instances()  # clears away what dead keepers left
    name = f"l1-{os.getpid()}"
    counter = 0
    while os.path.exists(f"{INSTANCES}/{name}"):
        counter += 1
        name = f"l1-{counter}-{os.getpid()}"
    owner = os.getpid() if owned else 0
    keeper = subprocess.Popen(
        [sys.executable, "-m", "testbed.keeper", name, json.dumps(config), str(owner)],
        cwd=f"{TREE}/tests/sandbox",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if owned else subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        line = keeper.stdout.readline()
    except BaseException:
        keeper.send_signal(signal.SIGTERM)
        keeper.wait()
        raise
    answer = json.loads(line) if line else {"failed": "the instance's keeper ended without a word"}
    if "failed" in answer:
        keeper.wait()
        raise Problem(answer["failed"])
    return name, keeper
