"""What virtlodged gets from the host's own libvirtd: networks, storage, node devices, secrets and filters, as stock clients see them at
lodge:///system."""
import contextlib
import hashlib
import os
import subprocess

import libvirt
import pytest
from support import places
from support.daemon import URI
from support.libvirtd import Libvirtd
from support.stream import Stream
from support.wait import until

SOCKET = "/run/libvirt/libvirt-sock"
MIB = 1 << 20
VOLUME = 6 * MIB
SECRET = """<secret ephemeral='no' private='no'>
  <uuid>0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f</uuid>
  <usage type='volume'><volume>/images/web.img</volume></usage>
</secret>
"""
ISOLATED = """<network>
  <name>inner</name>
  <forward mode='open'/>
  <bridge name='lodge-inner' stp='off' delay='0'/>
  <ip address='192.168.79.1' netmask='255.255.255.0'/>
</network>
"""


@pytest.fixture(scope="module")
def service(shared_folder):
    """libvirtd, where stock clients and virtlodged look for it."""
    made = Libvirtd(shared_folder)
    made.wait()
    yield made
    made.close()


def write(folder, name, text):
    """A file for virsh."""
    path = f"{folder}/{name}"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


@contextlib.contextmanager
def pool(daemon, folder):
    """A storage pool, made and removed through Lodge."""
    path = f"{folder}/images"
    os.makedirs(path, exist_ok=True)
    daemon.virsh(f"pool-define-as images dir --target {path}")
    daemon.virsh("pool-start images")
    try:
        yield path
    finally:
        daemon.virsh("pool-destroy images")
        daemon.virsh("pool-undefine images")


def test_without_libvirtd_its_calls_fail_and_say_why(daemon):
    """Before the first libvirtd: a sentence with the socket and what to do; the rest works."""
    assert not os.path.exists(SOCKET)
    for command in ("net-list", "pool-list", "nodedev-list", "secret-list", "nwfilter-list", "iface-list"):
        errors = daemon.fails(command)
        assert f"'{SOCKET}': No such file or directory" in errors and "systemctl start libvirtd.socket" in errors
    assert "lodge" in daemon.virsh("uri")


def test_every_family_is_passed_on(daemon, service, tmp_path):
    """One verb or more of each, and both daemons tell the same."""
    daemon.virsh(f"net-define {write(tmp_path, 'net.xml', ISOLATED)}")
    daemon.virsh("net-start inner")
    assert "active" in daemon.virsh("net-list --all") and daemon.virsh("net-list --all") == service.ask("net-list", "--all").stdout
    daemon.virsh("net-destroy inner")
    daemon.virsh("net-undefine inner")
    assert "computer" in daemon.virsh("nodedev-list").split()
    assert "lo" in daemon.virsh("iface-list --all")
    daemon.virsh(f"secret-define {write(tmp_path, 'secret.xml', SECRET)}")
    daemon.virsh("secret-set-value 0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f c2VjcmV0")
    assert daemon.virsh("secret-get-value 0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f").strip() == "c2VjcmV0"
    daemon.virsh("secret-undefine 0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f")
    daemon.virsh(f"nwfilter-define {write(tmp_path, 'filter.xml', '<filter name=' + chr(39) + 'none' + chr(39) + '/>')}")
    assert "none" in daemon.virsh("nwfilter-list")
    daemon.virsh("nwfilter-undefine none")
    assert "no network with matching name 'inner'" in daemon.fails("net-start inner")  # libvirtd's own error


@pytest.mark.usefixtures("service")
def test_volumes_are_uploaded_and_downloaded(daemon, tmp_path):
    """Contents arrive whole both ways, with holes too; an interrupted download does no harm."""
    content = write(tmp_path, "content", "")
    with open(content, "wb") as file:
        for part in range(VOLUME // MIB):
            file.write(hashlib.shake_256(bytes([part])).digest(MIB) if part % 2 else bytes(MIB))
    with pool(daemon, tmp_path):
        daemon.virsh(f"vol-create-as images web {VOLUME}")
        for sparse in ("", "--sparse"):
            daemon.virsh(f"vol-upload web {content} --pool images {sparse}")
            daemon.virsh(f"vol-download web {tmp_path}/back --pool images {sparse}")
            with open(content, "rb") as sent, open(f"{tmp_path}/back", "rb") as got:
                assert sent.read() == got.read()
        connection = libvirt.open(URI)
        stream = connection.newStream()
        volume = connection.storagePoolLookupByName("images").storageVolLookupByName("web")
        volume.download(stream, 0, 0)
        assert len(stream.recv(1000)) > 0
        stream.abort()
        assert volume.info()[1] == VOLUME
        connection.close()
        daemon.virsh("vol-delete web --pool images")


@pytest.mark.usefixtures("service")
def test_read_only_clients_look_and_change_nothing(daemon, tmp_path):
    """Whether the client library refuses or, where it does not, the daemons do."""
    reader = ["virsh", "-r", "-c", URI]
    path = write(tmp_path, "net.xml", ISOLATED)
    listed = subprocess.run([*reader, "net-list", "--all"], capture_output=True, text=True, timeout=places.COMMAND_SECONDS, check=True)
    assert "inner" not in listed.stdout
    refused = subprocess.run([*reader, "net-define", path], capture_output=True, text=True, timeout=places.COMMAND_SECONDS, check=False)
    assert "read only" in refused.stderr
    assert "inner" not in daemon.virsh("net-list --all")


def test_events_come_back(daemon, service, tmp_path):
    """`virsh net-event` hears of a network that is started past Lodge."""
    read, out = os.pipe()
    listener = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", URI, "net-event", "--event", "lifecycle", "--loop"], stdout=out, stderr=out)
    os.close(out)
    heard = Stream(read, "virsh net-event")
    path = write(tmp_path, "net.xml", ISOLATED)

    def begun():
        assert service.ask("net-create", path).returncode == 0
        assert service.ask("net-destroy", "inner").returncode == 0
        return "Stopped" in heard.tail()

    try:
        until(begun, "the events come")
        assert "event 'lifecycle' for network inner: Started" in heard.tail()
    finally:
        listener.kill()
        listener.wait()
    assert daemon.process.poll() is None


def test_libvirtd_ends_in_the_middle(daemon, service, tmp_path):
    """An upload under way fails with a sentence; the same client is served when libvirtd is there again."""
    with pool(daemon, tmp_path):
        daemon.virsh(f"vol-create-as images web {VOLUME}")
        connection = libvirt.open(URI)
        stream = connection.newStream()
        images = connection.storagePoolLookupByName("images")
        images.storageVolLookupByName("web").upload(stream, 0, 0)
        stream.send(bytes(MIB))
        service.kill()
        with pytest.raises(libvirt.libvirtError, match=f"storage service .'{SOCKET}'. is lost"):
            while True:
                stream.send(bytes(MIB))
        with pytest.raises(libvirt.libvirtError, match="systemctl start libvirtd.socket"):
            connection.listAllStoragePools()
        assert connection.getHostname()
        service.start()
        service.wait()
        assert [found.name() for found in connection.listAllStoragePools()] == ["images"]
        connection.close()
