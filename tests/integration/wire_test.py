"""What the installed virsh and virtlodged say to each other is what our shapes say, to the byte."""
import os
import signal
import subprocess
import sys

import pytest
from support import places
from support.daemon import SOCKET, Daemon
from support.wait import until

UNIT_TESTS = f"{places.TREE}/build/release/bin/libvirt-driver_tests"
COMMANDS = ("version", "nodeinfo", "capabilities", "domcapabilities", "nodecpumap", "nodememstats", "freecell --all", "list --all", "domid wire",
            "dominfo wire", "dumpxml wire", "vcpucount wire", "vcpuinfo wire", "vcpupin wire 0 0 --config", "setmem wire 65536 --config",
            "desc wire --title Title", "desc wire --title", "domstats", "domblklist wire", "autostart wire", "domjobinfo wire", "memtune wire",
            "metadata wire http://example.org/wire --key w --set <w/>", "event --all --timeout 1", "dominfo nobody", "undefine wire")


@pytest.fixture(scope="module")
def daemon(shared_folder):
    """The daemon of this file's tests."""
    with_daemon = Daemon(shared_folder)
    yield with_daemon
    with_daemon.close()


def test_what_virsh_says_is_what_the_shapes_say(daemon, shared_folder):
    """Every message of a round of commands reads and prints the same to the byte."""
    heard, sock = f"{shared_folder}/heard.txt", f"{shared_folder}/proxy-sock"
    daemon.define("wire")
    recorder = subprocess.Popen([sys.executable, f"{places.TREE}/tests/integration/support/recorder.py", sock, SOCKET, heard])
    until(lambda: os.path.exists(sock), "the recorder listens", places.COMMAND_SECONDS)
    for command in COMMANDS:
        subprocess.run(["virsh", "-c", f"lodge+unix:///system?socket={sock}", *command.split()], capture_output=True,
                       timeout=places.COMMAND_SECONDS, check=command.startswith(("list", "dumpxml", "undefine")))
    recorder.send_signal(signal.SIGTERM)
    assert recorder.wait(places.COMMAND_SECONDS) == 0
    with open(heard, encoding="utf-8") as file:
        procedures = {line.split()[1] for line in file}
    assert {"CONNECT_LIST_ALL_DOMAINS", "DOMAIN_GET_XML_DESC", "CONNECT_GET_ALL_DOMAIN_STATS", "DOMAIN_UNDEFINE_FLAGS"} <= procedures
    done = subprocess.run([UNIT_TESTS, "[.recorded]"], env=dict(os.environ, LODGE_RECORDED=heard), capture_output=True, text=True,
                          timeout=places.COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
