"""Sockets between guest and host (vhost-vsock), by options and by domain XML."""
import re
import socket
import subprocess

import pytest
from support import places
from support.daemon import Console, domain_xml
from support.wait import until

SAVE_SECONDS = 120
PORT = 5500
HOST = 2
TEXT = "".join(f"{number} across\n" for number in range(20000))


@pytest.fixture(scope="module", autouse=True)
def module():
    """The kernel's part, which a host may have to load."""
    subprocess.run(["modprobe", "vhost_vsock"], check=False)


def echo(cid, port=PORT):
    """Sends TEXT to a guest that gives it back."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
        client.settimeout(places.COMMAND_SECONDS)
        client.connect((cid, port))
        rest = memoryview(TEXT.encode())
        seen = b""
        while len(seen) < len(TEXT):
            if rest:
                rest = rest[client.send(rest[:8192]) :]
            seen += client.recv(65536)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    return seen.decode()


def serve(guest, name="served"):
    """The guest's echo server, once it listens."""
    guest.run(f"modprobe vmw_vsock_virtio_transport; vsock serve {PORT} > /run/{name} 2>&1 & "
              f"for i in $(seq 200); do grep -q LISTENS /run/{name} && exit 0; sleep 0.1; done; cat /run/{name}; exit 1")


def call(guest):
    """The guest connects to the host, which answers."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as server:
        server.settimeout(places.COMMAND_SECONDS)
        server.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        server.listen(1)
        number = guest.start(f"modprobe vmw_vsock_virtio_transport; echo question | vsock connect {HOST} {server.getsockname()[1]}")
        peer, (cid, _) = server.accept()
        with peer:
            peer.settimeout(places.COMMAND_SECONDS)
            assert peer.recv(100) == b"question\n"
            peer.sendall(b"answer\n")
        status, output = guest.result(number)
        assert (status, output) == (0, "answer\n")
        return cid


@pytest.mark.parametrize("machine", ["microvm", "pc"])
def test_both_ways(vmm, root_disk, machine):
    """Host to guest, guest to host, by its address; again after a reset."""
    guest = vmm(machine=machine, agent=True, disks=[root_disk], extra=["--vsock", "cid=33"])
    serve(guest.guest)
    assert echo(33) == TEXT
    assert call(guest.guest) == 33
    guest.control.execute("system_reset")
    guest.guest.listening = False
    guest.guest.wait_until_up()
    assert call(guest.guest) == 33
    guest.power_down()


def test_a_pause_loses_nothing(vmm, root_disk):
    """What is sent meanwhile arrives."""
    guest = vmm(agent=True, disks=[root_disk], extra=["--vsock", "cid=34"])
    serve(guest.guest)
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as client:
        client.settimeout(places.COMMAND_SECONDS)
        client.connect((34, PORT))
        guest.control.execute("stop")
        client.sendall(b"while it stands still")
        guest.control.execute("cont")
        assert client.recv(100) == b"while it stands still"


def test_a_restored_guest_loses_its_connections(vmm, root_disk, tmp_path):
    """It is told, and makes new ones, also by another address."""
    file = str(tmp_path / "guest.save")
    guest = vmm(agent=True, disks=[root_disk], extra=["--vsock", "cid=35"])
    serve(guest.guest)
    client = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    client.settimeout(places.COMMAND_SECONDS)
    client.connect((35, PORT))
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert guest.guest.run("pidof vsock").strip()
    guest.control.execute("save", {"path": file, "quit": True}, timeout=SAVE_SECONDS)
    assert guest.wait_exit() == 0
    client.close()
    again = vmm(kernel=None, initrd=None, serial=None, extra=["--restore", file, "--vsock", "cid=36"])
    again.guest.listening = True
    until(lambda: again.guest.try_run("pidof vsock")[0] != 0, "the guest's connection has ended", places.COMMAND_SECONDS)
    assert call(again.guest) == 36
    serve(again.guest, "again")
    assert echo(36) == TEXT
    again.power_down()


def test_an_address_is_one_guests(vmm, root_disk):
    """A second guest with it does not start; one that is no guest's either."""
    guest = vmm(agent=True, disks=[root_disk], extra=["--vsock", "cid=37"])
    guest.guest.wait_until_up()
    second = vmm(extra=["--vsock", "cid=37"])
    assert second.wait_exit() == 1
    assert "CID 37 belongs to another guest" in second.errors.wait_end(5)
    low = vmm(extra=["--vsock", "cid=2"])
    assert low.wait_exit() == 2
    assert "cid=N" in low.errors.wait_end(5)


DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vda' bus='virtio'/><readonly/></disk>"""


def test_the_daemon_chooses_an_address(daemon, base_image):
    """For the run only; a fixed one that is taken is refused; capabilities and schema know the device."""
    devices = DISK.format(image=base_image)
    path = f"{daemon.folder}/first.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(domain_xml("first", append=f"{places.APPEND} lodge.agent=1 ro", devices=f"{devices}<vsock model='virtio'/>"))
    daemon.virsh(f"define --validate {path}")
    daemon.virsh("start first")
    live = daemon.virsh("dumpxml first")
    cid = int(re.search(r"<vsock model='virtio'>\s*<cid auto='yes' address='(\d+)'/>\s*<alias name='vsock0'/>\s*<address type='pci'", live).group(1))
    assert cid >= 3
    assert "<cid auto='yes'/>" in daemon.virsh("dumpxml first --inactive")
    console = Console("first")
    console.guest.wait_until_up(2 * places.BOOT_SECONDS)
    assert call(console.guest) == cid
    serve(console.guest)
    assert echo(cid) == TEXT

    daemon.define("second", devices=f"<vsock><cid auto='no' address='{cid}'/></vsock>")
    assert f"CID {cid} belongs to another guest" in daemon.fails("start second")
    daemon.virsh("undefine second")
    daemon.define("second", devices="<vsock><cid auto='yes'/></vsock>")
    daemon.virsh("start second")
    assert int(re.search(r"<cid auto='yes' address='(\d+)'/>", daemon.virsh("dumpxml second")).group(1)) != cid
    daemon.virsh("destroy second")
    daemon.virsh("undefine second")
    with open(f"{daemon.folder}/vsock.xml", "w", encoding="utf-8") as file:
        file.write("<vsock model='virtio'><cid auto='yes'/></vsock>")
    assert "stay as they are" in daemon.fails(f"detach-device first {daemon.folder}/vsock.xml --live")
    console.close()
    daemon.virsh("destroy first")
    daemon.virsh("undefine first")
