"""What virtlodged gets from the host's own libvirtd: networks, storage, node devices, secrets and filters, as stock clients see them at
lodge:///system; and guests on its networks."""
import contextlib
import hashlib
import os
import re
import signal
import subprocess

import libvirt
import pytest
from support import places
from support.daemon import URI, Console, monitors
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


NAT = """<network>
  <name>default</name>
  <forward mode='nat'/>
  <bridge name='lodge-nat' stp='off' delay='0'/>
  <ip address='192.168.78.1' netmask='255.255.255.0'><dhcp><range start='192.168.78.100' end='192.168.78.120'/></dhcp></ip>
</network>
"""
FIRST = "52:54:00:44:55:66"
SECOND = "52:54:00:44:55:77"
NIC = f"<interface type='network'><mac address='{FIRST}'/><source network='{{}}'/>{{}}<model type='virtio'/></interface>"
IDLE = f"{places.TREE}/build/release/guests/idle"


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


def ports(daemon, network):
    """The ports of a network, as virsh lists them."""
    return daemon.virsh(f"net-port-list {network}").split()[2:]


def is_on(tap, bridge):
    """Whether the tap is on the bridge, apart from others there."""
    port = f"/sys/class/net/{tap}/brport"
    if not os.path.exists(port) or os.path.basename(os.path.realpath(f"/sys/class/net/{tap}/master")) != bridge:
        return False
    with open(f"{port}/isolated", encoding="ascii") as file:
        return file.read() == "1\n"


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


def test_a_guest_gets_its_address_from_the_default_network(daemon, service, base_image, tmp_path):
    """By DHCP, behind address translation; the host answers its pings; the network knows it as long as it runs."""
    assert service.ask("net-create", write(tmp_path, "default.xml", NAT)).returncode == 0
    disk = f"<disk type='file' device='disk'><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>"
    daemon.define("web", append=f"{places.APPEND} lodge.agent=1 lodge.ip=dhcp ro", machine="pc", devices=disk + NIC.format("default", ""))
    daemon.virsh("start web")
    assert re.search(rf"<source network='default' portid='{ports(daemon, 'default')[0]}' bridge='lodge-nat'/>", daemon.virsh("dumpxml web"))
    assert "bridge=" not in daemon.virsh("dumpxml web --inactive")
    console = Console("web")
    console.guest.wait_until_up(2 * places.BOOT_SECONDS)
    address = re.search(r"inet (192\.168\.78\.\d+)/24", console.guest.run("ip addr show eth0")).group(1)
    assert " 0% packet loss" in console.guest.run("ping -c 2 -i 0.2 192.168.78.1")
    assert f"{address}/" in daemon.virsh("domifaddr web --source lease")
    assert address in daemon.virsh("net-dhcp-leases default")
    daemon.virsh(f"attach-interface web network default --model virtio --mac {SECOND} --live")
    until(lambda: console.guest.try_run("ip link show eth1")[0] == 0, "the second interface is there")
    assert len(ports(daemon, "default")) == 2
    daemon.virsh(f"detach-interface web network --mac {SECOND} --live")
    until(lambda: len(ports(daemon, "default")) == 1, "its port goes with it")
    console.close()
    daemon.virsh("destroy web")
    assert not ports(daemon, "default")
    daemon.virsh("undefine web")
    assert service.ask("net-destroy", "default").returncode == 0


def test_ports_outlive_daemons_and_networks(daemon, service, tmp_path):
    """Both daemons killed, the network stopped and started: the port is there and the tap on the bridge. It goes with a crashed guest."""
    path = write(tmp_path, "net.xml", ISOLATED)
    assert service.ask("net-create", path).returncode == 0
    daemon.define("idle", kernel=IDLE, initrd="", memory=16, devices=NIC.format("inner", "<port isolated='yes'/>"))
    daemon.virsh("start idle")
    [port] = ports(daemon, "inner")
    tap = re.search(r"^ (vnet\d+)", daemon.virsh("domiflist idle"), re.MULTILINE).group(1)
    assert is_on(tap, "lodge-inner")
    daemon.kill()
    daemon.start()
    service.kill()
    service.start()
    service.wait()
    assert ports(daemon, "inner") == [port] and port in daemon.virsh("dumpxml idle")
    assert service.ask("net-destroy", "inner").returncode == 0
    assert service.ask("net-create", write(tmp_path, "net.xml", ISOLATED.replace("lodge-inner", "lodge-again"))).returncode == 0
    until(lambda: ports(daemon, "inner") == [port] and is_on(tap, "lodge-again"), "the guest is on the network again")
    until(lambda: "bridge='lodge-again'" in daemon.virsh("dumpxml idle"), "its XML says so")
    os.kill(monitors()["idle"], signal.SIGKILL)
    until(lambda: not ports(daemon, "inner"), "the port goes with the guest")
    daemon.virsh("start idle")
    service.process.send_signal(signal.SIGSTOP)
    daemon.virsh("destroy idle")  # does not wait for a libvirtd that hangs
    service.process.send_signal(signal.SIGCONT)
    until(lambda: not ports(daemon, "inner"), "the port goes when libvirtd goes on")
    daemon.virsh("start idle")
    service.kill()
    daemon.virsh("destroy idle")  # its port waits for libvirtd
    service.start()
    service.wait()
    until(lambda: not ports(daemon, "inner"), "the port goes when libvirtd is there again")
    daemon.virsh("undefine idle")
    assert service.ask("net-destroy", "inner").returncode == 0


def test_a_network_that_cannot_be_used_is_named(daemon, service, tmp_path):
    """Not there, not active, no bridge, no libvirtd; and a start that fails leaves no port."""
    assert service.ask("net-define", write(tmp_path, "net.xml", ISOLATED)).returncode == 0

    def refused(network, before=""):
        daemon.define("idle", kernel=IDLE, initrd="", memory=16, devices=before + NIC.format(network, ""))
        errors = daemon.fails("start idle")
        daemon.virsh("undefine idle")
        return errors

    assert "no network with matching name 'nowhere'" in refused("nowhere")
    assert "network 'inner' is not active" in refused("inner")
    assert service.ask("net-start", "inner").returncode == 0
    assert "no network with matching name 'nowhere'" in refused("nowhere", NIC.format("inner", "").replace(FIRST, SECOND))
    assert not ports(daemon, "inner")
    macvtap = "<network><name>outer</name><forward mode='bridge'><interface dev='lo'/></forward></network>"
    assert service.ask("net-create", write(tmp_path, "outer.xml", macvtap)).returncode == 0
    assert "gives a plug of type 'direct'" in refused("outer") and not ports(daemon, "outer")
    service.kill()
    assert "systemctl start libvirtd.socket" in refused("inner")
    service.start()
    service.wait()
    for name in ("inner", "outer"):
        assert service.ask("net-destroy", name).returncode == 0
    assert service.ask("net-undefine", "inner").returncode == 0
