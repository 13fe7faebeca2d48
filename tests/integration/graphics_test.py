"""<graphics type='vnc'>: where it listens, what clients are told, passwords, the server's end and the daemon's."""
import os
import re
import signal
import socket
import struct

import libvirt
import pytest
from support import disks, places
from support.daemon import URI
from support.vnc import servers
from support.wait import until


@pytest.fixture
def screen(daemon, tmp_path):
    """screen(GRAPHICS) starts a pc with that element, which waits in its BIOS; its live XML."""
    boot = disks.boot_sector(f"{tmp_path}/boot.img", "UP")

    def start(graphics):
        path = f"{daemon.folder}/screen.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"""<domain type='kvm'><name>screen</name><memory unit='MiB'>64</memory><os><type>hvm</type></os><devices>
              <disk type='file' device='disk'><source file='{boot}'/><target dev='hda' bus='ide'/></disk>
              <input type='tablet' bus='usb'/>{graphics}</devices></domain>""")
        daemon.virsh(f"define --validate {path}")
        daemon.virsh("start screen")
        return daemon.virsh("dumpxml screen --security-info")

    yield start
    daemon.try_virsh("destroy screen")
    daemon.try_virsh("undefine screen")
    until(lambda: not servers(), "the display server ends with its guest")


def greeting(connection):
    """The RFB server's first words."""
    connection.settimeout(places.COMMAND_SECONDS)
    return connection.recv(12, socket.MSG_WAITALL)


def security_types(connection):
    """What the server offers after the version."""
    assert greeting(connection) == b"RFB 003.008\n"
    connection.sendall(b"RFB 003.008\n")
    count = connection.recv(1)[0]
    return set(connection.recv(count, socket.MSG_WAITALL)) if count else None


def at_port(port):
    """A client's connection."""
    return socket.create_connection(("127.0.0.1", port), places.COMMAND_SECONDS)


def another_than(old):
    """What tells whether there is one server, and not `old`: both from one look, because servers end in between."""

    def there():
        found = servers()
        return len(found) == 1 and found != old

    return there


def port_in(xml):
    """The port of the live XML."""
    return int(re.search(r"<graphics type='vnc' port='(\d+)'", xml).group(1))


def test_a_port_is_chosen_and_told(daemon, screen):
    """autoport: a free port from 5900 on, in the live XML and by vncdisplay and domdisplay; the definition keeps -1."""
    with socket.create_server(("127.0.0.1", 5900)):
        xml = screen("<graphics type='vnc'/>")
    port = port_in(xml)
    assert port > 5900
    assert f"port='{port}' autoport='yes' listen='127.0.0.1'>" in xml
    assert daemon.virsh("vncdisplay screen").strip() == f"127.0.0.1:{port - 5900}"
    assert daemon.virsh("domdisplay screen").strip() == f"vnc://127.0.0.1:{port - 5900}"
    inactive = daemon.virsh("dumpxml screen --inactive")
    assert "<graphics type='vnc' port='-1' autoport='yes'>" in inactive and "<model type='vga'" in inactive
    with at_port(port) as connection:
        assert 1 in security_types(connection)


def test_a_port_in_use_is_named(daemon, screen):
    """A start with a fixed port that somebody has fails, and leaves nothing."""
    with socket.create_server(("127.0.0.1", 5977)), pytest.raises(AssertionError, match="5977"):
        screen("<graphics type='vnc' port='5977' listen='127.0.0.1'/>")
    assert daemon.state("screen").startswith("shut off")


def test_a_password_is_asked_for_and_changed(daemon, screen, tmp_path):
    """With passwd= VNC authentication is offered and nothing else; update-device changes it, and nothing else."""
    xml = screen("<graphics type='vnc' port='5978' passwd='secret'/>")
    assert "passwd='secret'" in xml and "secret" not in daemon.virsh("dumpxml screen")
    with at_port(5978) as connection:
        assert security_types(connection) == {2}
    path = f"{tmp_path}/graphics.xml"
    with open(path, "w", encoding="ascii") as file:
        file.write("<graphics type='vnc' port='5978' passwd='other'/>")
    daemon.virsh(f"update-device screen {path} --live")
    assert "passwd='other'" in daemon.virsh("dumpxml screen --security-info")
    with open(path, "w", encoding="ascii") as file:
        file.write("<graphics type='vnc' port='5979'/>")
    assert "cannot change port settings" in daemon.fails(f"update-device screen {path} --live")


def test_a_server_that_dies_is_started_again(daemon, screen):
    """The guest does not notice, and the port is the same; a daemon that comes back finds the server, or starts one."""
    port = port_in(screen("<graphics type='vnc'/>"))
    guest = daemon.virsh("domid screen")
    first = servers()
    assert len(first) == 1
    os.kill(first[0], signal.SIGKILL)
    until(another_than(first), "another server")
    with at_port(port) as connection:
        assert greeting(connection) == b"RFB 003.008\n"
    second = servers()
    daemon.stop()
    daemon.start()
    assert servers() == second
    assert daemon.virsh("domid screen") == guest
    daemon.kill()
    os.kill(second[0], signal.SIGKILL)
    daemon.start()
    until(another_than(second), "a server again")
    with at_port(port) as connection:
        assert greeting(connection) == b"RFB 003.008\n"
    assert daemon.virsh("domid screen") == guest


def test_clients_come_without_a_port(screen):
    """listen type='none': openGraphicsFD and openGraphics give a connection, without asking for the password if told so."""
    screen("<graphics type='vnc' passwd='secret'><listen type='none'/></graphics>")
    connection = libvirt.open(URI)
    domain = connection.lookupByName("screen")
    with socket.socket(fileno=domain.openGraphicsFD(0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH)) as client:
        assert 1 in security_types(client)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        domain.openGraphics(0, theirs.fileno(), 0)
        assert 2 in security_types(ours)
    with pytest.raises(libvirt.libvirtError, match="No graphics backend with index 1"):
        domain.openGraphicsFD(1, 0)
    connection.close()


def test_a_unix_socket(daemon, screen, tmp_path):
    """listen type='socket'."""
    path = f"{tmp_path}/vnc"
    screen(f"<graphics type='vnc'><listen type='socket' socket='{path}'/></graphics>")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        assert greeting(client) == b"RFB 003.008\n"
    assert path in daemon.virsh("domdisplay screen")
    daemon.virsh("destroy screen")
    assert not os.path.exists(path)


def test_the_picture_comes_over_vnc(screen):
    """The size of the BIOS's text mode is in the server's greeting."""
    port = port_in(screen("<graphics type='vnc'/>"))

    def size():
        with at_port(port) as connection:
            security_types(connection)
            connection.sendall(b"\x01")
            assert connection.recv(4, socket.MSG_WAITALL) == bytes(4)
            connection.sendall(b"\x01")
            return struct.unpack(">HH", connection.recv(24, socket.MSG_WAITALL)[:4])

    until(lambda: size() == (720, 400), "the BIOS's screen", places.BOOT_SECONDS)
