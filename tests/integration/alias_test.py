"""The alias virtqemud-sock: with it stock clients reach Lodge at qemu:///system, without it they do not; no guest is needed."""
import os
import socket
import stat

import pytest
from support import access
from support.access import Virtlodged, lists, refused, virsh

FOLDER = "/run/libvirt"  # where clients look
ALIAS = f"{FOLDER}/virtqemud-sock"
ALIASES = (ALIAS, f"{ALIAS}-ro")
ON = "alias_qemu_socket = 1\n"


@pytest.fixture(autouse=True)
def nobody_else():
    """No daemon of libvirt's may answer for ours."""
    os.makedirs(FOLDER, exist_ok=True)
    for name in ("virtqemud-sock", "virtqemud-sock-ro", "libvirt-sock", "libvirt-sock-ro"):
        assert not os.path.exists(f"{FOLDER}/{name}")


def test_with_the_alias_qemu_is_lodge(tmp_path):
    """What is defined at qemu:///system is seen at lodge:///system; the URI stays qemu's, the hypervisor is Lodge."""
    definition = tmp_path / "web.xml"
    definition.write_text("<domain type='kvm'><name>web</name><memory>65536</memory><os><type>hvm</type><kernel>/k</kernel></os></domain>")
    with Virtlodged(ON + 'unix_sock_rw_perms = "0700"\n', sockets=FOLDER) as daemon:
        assert lists("qemu:///system")
        assert virsh("qemu:///system", "define", str(definition))[0] == 0
        assert "web" in virsh("lodge:///system", "list", "--all", "--name")[1]
        assert virsh("qemu:///system", "uri")[1].strip() == "qemu:///system"
        assert "Running hypervisor: LODGE" in virsh("qemu:///system", "version")[1]
        assert [stat.S_IMODE(os.stat(path).st_mode) for path in ALIASES] == [0o700, 0o777]
        assert "read only access" in virsh("qemu:///system", "--readonly", "undefine", "web")[1]
        assert "Permission denied" in refused("qemu:///system", prefix=access.as_nobody())
        assert os.path.exists(daemon.socket)
    assert not any(map(os.path.exists, ALIASES))


def test_without_the_alias_qemu_is_not_there():
    """That is the default."""
    with Virtlodged(sockets=FOLDER):
        assert lists("lodge:///system")
        assert "Failed to connect socket" in refused("qemu:///system")
        assert not any(map(os.path.exists, ALIASES))


def test_the_alias_is_there_beside_the_sockets_of_systemd():
    """No unit has it, so the daemon makes it itself."""
    place = access.open_folder()
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(f"{place}/passed")
        passed.listen()
        os.set_inheritable(passed.fileno(), True)
        script = f'exec 3<&{passed.fileno()}; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=virtlodged-sock; exec "$@"'
        with Virtlodged(ON, sockets=FOLDER, wrap=["bash", "-c", script, "bash"], close_fds=False):
            assert lists("qemu:///system")
            assert lists(f"lodge+unix:///system?socket={place}/passed")
    os.unlink(f"{place}/passed")
    os.rmdir(place)


def test_a_daemon_of_libvirts_keeps_its_socket():
    """virtlodged does not start rather than take the socket away from it."""
    with socket.socket(socket.AF_UNIX) as theirs:
        theirs.bind(ALIAS)
        theirs.listen()
        with Virtlodged(ON, sockets=FOLDER, serves=False) as daemon:
            assert f"has '{ALIAS}'" in daemon.said()
        assert os.path.exists(ALIAS)
    os.unlink(ALIAS)
