"""Folders of the host in the guest (virtio-fs, served by virtiofsd), by options and by domain XML."""
import os
import subprocess

import pytest
from support import places
from support.control import ControlError
from support.daemon import Console, domain_xml
from support.wait import until

VIRTIOFSD = "/usr/lib/qemu/virtiofsd"
MEMORY = "512,backing=memfd"
SHARED = "<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"
MOUNT = "mkdir -p /run/data; modprobe virtiofs; mount -t virtiofs data /run/data"
BLOCK = 1 << 20


class Served:
    """A folder, and a virtiofsd that serves it."""

    def __init__(self, folder):
        self.folder = f"{folder}/served"
        self.socket = f"{folder}/served.sock"
        os.makedirs(self.folder)
        with open(f"{folder}/virtiofsd.log", "wb") as log:
            self.process = subprocess.Popen([VIRTIOFSD, f"--socket-path={self.socket}", "-o", f"source={self.folder}"], stdout=log, stderr=log)
        until(lambda: os.path.exists(self.socket), "virtiofsd listens", places.CONTROL_SECONDS)

    def write(self, name, text):
        """A file for the guest."""
        with open(f"{self.folder}/{name}", "w", encoding="utf-8") as file:
            file.write(text)

    def read(self, name):
        """What the guest wrote."""
        with open(f"{self.folder}/{name}", encoding="utf-8") as file:
            return file.read()

    def close(self):
        """Ends it, if it still runs."""
        self.process.kill()
        self.process.wait()


@pytest.fixture
def served(tmp_path):
    """A folder that is served."""
    one = Served(str(tmp_path))
    yield one
    one.close()


def options(served):
    """Of the monitor."""
    return ["--fs", f"tag=data,socket={served.socket}"]


@pytest.mark.parametrize("machine", ["microvm", "pc"])
def test_both_ways(vmm, root_disk, served, machine):
    """Files are read and written from both sides, also after a pause and after a reset."""
    served.write("question", "from the host\n")
    guest = vmm(machine=machine, memory=MEMORY, agent=True, disks=[root_disk], extra=options(served))
    guest.guest.run(MOUNT)
    assert guest.guest.run("cat /run/data/question") == "from the host\n"
    guest.guest.run("echo from the guest > /run/data/answer; sync")
    assert served.read("answer") == "from the guest\n"
    guest.guest.run(f"dd if=/dev/urandom of=/run/data/block bs={BLOCK} count=4; sync; md5sum < /run/data/block > /run/data/sum")
    with open(f"{served.folder}/block", "rb") as file:
        block = file.read()
    assert len(block) == 4 * BLOCK
    assert subprocess.run(["md5sum"], input=block, capture_output=True, check=True).stdout.decode() == served.read("sum")

    guest.control.execute("stop")
    served.write("later", "while it stood still\n")
    guest.control.execute("cont")
    assert guest.guest.run("cat /run/data/later") == "while it stood still\n"

    guest.control.execute("system_reset")
    guest.guest.listening = False
    guest.guest.wait_until_up()
    guest.guest.run(MOUNT)
    assert guest.guest.run("cat /run/data/answer") == "from the guest\n"
    guest.guest.run("umount /run/data")
    guest.power_down()
    assert served.process.wait(places.EXIT_SECONDS) == 0


def test_it_is_not_saved(vmm, root_disk, served, tmp_path):
    """The guest goes on as if nobody had asked."""
    guest = vmm(memory=MEMORY, agent=True, disks=[root_disk], extra=options(served))
    guest.guest.run(MOUNT)
    with pytest.raises(ControlError, match="filesystem 'fs0'.*cannot be saved"):
        guest.control.execute("save", {"path": str(tmp_path / "save"), "quit": True})
    assert not os.path.exists(tmp_path / "save")
    guest.guest.run("echo on > /run/data/on; sync")
    assert served.read("on") == "on\n"


def test_a_back_end_that_dies_costs_the_filesystem_only(vmm, root_disk, served):
    """The guest goes on, the log tells of it, it can be switched off."""
    guest = vmm(memory=MEMORY, agent=True, disks=[root_disk], extra=options(served))
    guest.guest.run(MOUNT)
    served.close()
    until(lambda: "the vhost-user back-end has closed the connection" in guest.errors.tail(), "the loss is told",
          places.CONTROL_SECONDS)
    assert guest.guest.run("echo alive") == "alive\n"
    guest.control.execute("stop")
    guest.control.execute("cont")
    assert guest.guest.run("echo still") == "still\n"


def test_what_cannot_work_is_told(vmm, served):
    """Memory of its own; queues that virtiofsd has not; nobody at the socket."""
    own = vmm(memory=512, extra=options(served))
    assert own.wait_exit() == 2
    assert "backing=memfd" in own.errors.wait_end(5)
    nobody = vmm(memory=MEMORY, extra=["--fs", "tag=data,socket=/nonexistent/socket"])
    assert nobody.wait_exit() == 1
    assert "filesystem 'fs0': connect to the vhost-user back-end at '/nonexistent/socket'" in nobody.errors.wait_end(5)
    queues = vmm(memory=MEMORY, extra=["--fs", f"tag=data,socket={served.socket},queues=4"])
    assert queues.wait_exit() == 1
    assert "serves 2 queues at most, 5 are wanted" in queues.errors.wait_end(5)


DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vda' bus='virtio'/><readonly/></disk>"""
FILESYSTEM = """<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs' queue='256'/>{source}<target dir='data'/></filesystem>"""


def servers(folder):
    """Processes of virtiofsd that serve a folder."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().decode().split("\0")
            except OSError:
                continue
            if words[0] == VIRTIOFSD and f"source={folder}" in words:
                found.append(int(entry))
    return found


def test_the_daemon_starts_virtiofsd_and_ends_it(daemon, base_image):
    """With the domain; also after the daemon was killed meanwhile."""
    folder = f"{daemon.folder}/folder"
    os.makedirs(folder)
    devices = DISK.format(image=base_image) + FILESYSTEM.format(source=f"<source dir='{folder}'/>")
    path = f"{daemon.folder}/first.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(domain_xml("first", append=f"{places.APPEND} lodge.agent=1 ro", devices=devices, head=SHARED))
    daemon.virsh(f"define --validate {path}")
    assert "<value>virtiofs</value>" in daemon.virsh("domcapabilities")
    daemon.virsh("start first")
    assert "<alias name='fs0'/>" in daemon.virsh("dumpxml first")
    assert servers(folder)
    console = Console("first")
    console.guest.wait_until_up(2 * places.BOOT_SECONDS)
    console.guest.run(f"{MOUNT}; echo by the daemon > /run/data/file; sync")
    with open(f"{folder}/file", encoding="utf-8") as file:
        assert file.read() == "by the daemon\n"
    assert "stay as they are" in daemon.fails(f"detach-device first {daemon_device(daemon, folder)} --live")
    console.close()
    daemon.kill()
    daemon.start()
    daemon.virsh("destroy first")
    until(lambda: not servers(folder), "virtiofsd ends with the domain", places.EXIT_SECONDS)
    daemon.virsh("undefine first")


def daemon_device(daemon, folder):
    """A file with the filesystem's element."""
    path = f"{daemon.folder}/filesystem.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(FILESYSTEM.format(source=f"<source dir='{folder}'/>"))
    return path


def test_the_daemon_says_why_there_is_no_filesystem(daemon):
    """A folder that is not there, a program that does not serve, a socket of nobody; nothing is left behind."""
    for source, words in (("<source dir='/nonexistent'/>", "'/nonexistent' is not a folder"),
                          ("<source socket='/nonexistent/socket'/>", "filesystem 'data'"),
                          ("<binary path='/bin/true'/><source dir='/srv'/>", "vhost-user back-end")):
        filesystem = FILESYSTEM.format(source=source)
        if "socket=" in source:
            filesystem = filesystem.replace(" accessmode='passthrough'", "")
        daemon.define("second", devices=filesystem, head=SHARED)
        assert words in daemon.fails("start second")
        assert daemon.state("second").startswith("shut off")
        daemon.virsh("undefine second")
