"""Stock virsh at lodge:///system with a Linux guest; each test looks at the guest or the host, not only at virsh's status."""
import os
import re
import socket
import subprocess

import pytest
from support import disks, places
from support.daemon import SOCKET, Console, monitors
from support.wait import until

AGENT = f"{places.APPEND} lodge.agent=1 ro"


@pytest.fixture(scope="module")
def web(daemon, base_image, shared_folder):
    """A running guest and its console."""
    data = disks.empty(f"{shared_folder}/data.img", 16)
    daemon.define("web", append=AGENT, machine="pc", vcpus=1, devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{data}'/><target dev='vdb' bus='virtio'/></disk>
      <interface type='ethernet'><mac address='52:54:00:11:22:33'/><model type='virtio'/></interface>
      <memballoon model='virtio'/>""")
    daemon.virsh("start web")
    console = Console("web")
    console.guest.wait_until_up()
    yield console.guest
    console.close()


def test_the_host_and_the_connection_are_described(daemon):
    """version, uri, hostname, nodeinfo, capabilities, domcapabilities and the CPU commands say what is true of this host."""
    version = daemon.virsh("version")
    assert "Running hypervisor: LODGE" in version
    assert daemon.virsh("uri").strip() == "lodge:///system"
    assert daemon.virsh("hostname").strip() not in ("", "localhost")
    cpus = re.search(r"^CPU\(s\): +(\d+)$", daemon.virsh("nodeinfo"), re.MULTILINE).group(1)
    assert int(cpus) == os.cpu_count()
    capabilities = daemon.virsh("capabilities")
    assert "<os_type>hvm</os_type>" in capabilities and "<domain type='kvm'/>" in capabilities
    assert "<mode name='host-passthrough' supported='yes'>" in daemon.virsh("domcapabilities")
    assert "qemu64" in daemon.virsh("cpu-models x86_64")
    model = f"{daemon.folder}/cpu.xml"
    with open(model, "w", encoding="utf-8") as file:
        file.write("<cpu><arch>x86_64</arch><model>qemu64</model></cpu>")
    assert "qemu64" in daemon.virsh(f"hypervisor-cpu-baseline {model}")
    assert "CPU described" in "".join(daemon.try_virsh(f"hypervisor-cpu-compare {model}")[1:])
    assert "list" in daemon.virsh("help")


def test_a_definition_is_kept_and_a_fixed_point(daemon):
    """define, dumpxml and define again give the same; the file is there, and is gone after undefine."""
    daemon.define("kept", append="one two", devices="<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
    assert re.search(r"^ - +kept +shut off$", daemon.virsh("list --all"), re.MULTILINE)
    text = daemon.virsh("dumpxml kept")
    path = f"{daemon.folder}/again.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    daemon.virsh(f"define --validate {path}")
    assert daemon.virsh("dumpxml kept") == text
    assert os.path.exists(f"{daemon.folder}/config/kept.xml")
    daemon.virsh("autostart kept")
    assert os.path.islink(f"{daemon.folder}/config/autostart/kept.xml")
    daemon.virsh("desc kept --title Title")
    assert daemon.virsh("desc kept --title").strip() == "Title"
    daemon.virsh("metadata kept --uri http://example.org/a --key a --set", "<note>x</note>")
    assert "<note>x</note>" in daemon.virsh("metadata kept --uri http://example.org/a")
    daemon.virsh("setmaxmem kept 256M --config")
    daemon.virsh("setmem kept 128M --config")
    daemon.virsh("setvcpus kept 3 --config --maximum")
    daemon.virsh("setvcpus kept 2 --config")
    daemon.virsh("vcpupin kept 0 0 --config")
    changed = daemon.virsh("dumpxml kept")
    for part in ("<memory unit='KiB'>262144<", "<currentMemory unit='KiB'>131072<", "<vcpu placement='static' current='2'>3<",
                 "<vcpupin vcpu='0' cpuset='0'/>"):
        assert part in changed
    daemon.virsh("domrename kept kept2")
    daemon.stop()
    daemon.start()
    assert re.search(r"Autostart: +enable", daemon.virsh("dominfo kept2"))
    daemon.virsh("undefine kept2")
    assert not [name for name in os.listdir(f"{daemon.folder}/config") if "kept" in name]
    assert "failed to get domain" in daemon.fails("dominfo kept2")


def test_mistakes_are_answered_and_change_nothing(daemon):
    """Bad XML names line and element; a name that is taken, a guest that does not run, a kernel that is not there."""
    path = f"{daemon.folder}/bad.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write("<domain type='kvm'>\n<name>bad</name>\n</domian>")
    assert ":3:" in daemon.fails(f"define {path}")
    with open(path, "w", encoding="utf-8") as file:
        file.write("<domain type='kvm'><name>bad</name><memory>1</memory><os><type>hvm</type></os><devices>"
                   "<hostdev mode='subsystem' type='pci'/></devices></domain>")
    assert "hostdev" in daemon.fails(f"define {path}")
    daemon.define("broken", kernel="/nonexistent/kernel")
    assert "domain is not running" in daemon.fails("destroy broken")
    assert "/nonexistent/kernel" in daemon.fails("start broken")
    assert daemon.state("broken").startswith("shut off")
    with open(path, "w", encoding="utf-8") as file:
        file.write("<domain type='kvm'><name>broken</name><uuid>11111111-2222-4333-8444-555555555555</uuid><memory>65536</memory>"
                   "<os><type>hvm</type></os></domain>")
    assert "already exists with uuid" in daemon.fails(f"define {path}")
    daemon.virsh("undefine broken")
    assert not [name for name in os.listdir(f"{daemon.folder}/run") if "broken" in name]


def test_the_console_reaches_the_guest(daemon, web):
    """virsh console joins the terminal with the guest; domid, domuuid, domname, ttyconsole agree."""
    assert "Linux" in web.run("uname -a")
    number = daemon.virsh("domid web").strip()
    assert daemon.virsh(f"domname {daemon.virsh('domuuid web').strip()}").strip() == "web"
    assert daemon.virsh(f"domname {number}").strip() == "web"
    assert daemon.virsh("ttyconsole web").startswith("/dev/pts/")
    assert daemon.state("web") == "running (booted)"
    assert "running" in daemon.virsh("list")


def test_pause_and_resume(daemon, web):
    """A paused guest does nothing; resumed, it goes on."""
    number = web.start("echo awake")
    assert web.result(number)[1] == "awake\n"
    daemon.virsh("suspend web")
    assert daemon.state("web") == "paused (user)"
    before = daemon.virsh("domstats web --vcpu")
    number = web.start("echo later")
    assert daemon.virsh("domstats web --vcpu") == before
    daemon.virsh("resume web")
    assert web.result(number)[1] == "later\n"
    assert daemon.state("web") == "running (unpaused)"


def test_memory_and_processors(daemon, web):
    """setmem takes memory from the guest and gives it back; vcpuinfo, vcpupin, vcpucount, dommemstat and domstats tell the truth."""
    total = int(web.run("awk '/^MemTotal/{print $2}' /proc/meminfo"))
    daemon.virsh("setmem web 128M --live")
    until(lambda: int(web.run("awk '/^MemTotal/{print $2}' /proc/meminfo")) <= total - 60000, "the balloon has taken memory",
          places.COMMAND_SECONDS)
    until(lambda: "actual 131072" in daemon.virsh("dommemstat web"), "dommemstat tells it", places.COMMAND_SECONDS)
    daemon.virsh("setmem web 192M --live")
    assert "max memory" in daemon.fails("setmem web 1G --live")
    pid = monitors()["web"]
    info = daemon.virsh("vcpuinfo web")
    assert re.search(r"^State: +running$", info, re.MULTILINE)
    daemon.virsh("vcpupin web 0 0 --live")
    threads = [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    assert any(os.sched_getaffinity(task) == {0} for task in threads)
    assert re.search(r"^maximum +live +1$", daemon.virsh("vcpucount web"), re.MULTILINE)
    stats = daemon.virsh("domstats web")
    for field in ("state.state=1", "vcpu.current=1", "block.count=2", "net.count=1", "balloon.maximum=196608"):
        assert field in stats


def test_disks_come_and_go_and_are_counted(daemon, web, shared_folder):
    """attach-disk, domblklist, domblkstat, domblkinfo, blockresize, detach-disk, each seen in the guest."""
    image = disks.empty(f"{shared_folder}/extra.img", 8)
    daemon.virsh(f"attach-disk web {image} vdc --live --driver qemu --subdriver raw")
    until(lambda: web.try_run("[ -b /dev/vdc ]")[0] == 0, "the guest sees vdc", places.COMMAND_SECONDS)
    assert re.search(rf"vdc +{image}", daemon.virsh("domblklist web"))
    web.run("dd if=/dev/urandom of=/dev/vdc bs=1M count=8 oflag=direct 2>/dev/null")
    assert int(re.search(r"vdc wr_bytes (\d+)", daemon.virsh("domblkstat web vdc")).group(1)) >= 8 << 20
    assert re.search(r"Capacity: +8388608$", daemon.virsh("domblkinfo web vdc"), re.MULTILINE)
    daemon.virsh("detach-disk web vdc --live")
    until(lambda: web.try_run("[ -e /sys/block/vdc ]")[0] == 1, "vdc is gone", places.COMMAND_SECONDS)
    until(lambda: "vdc" not in daemon.virsh("domblklist web"), "virsh knows it", places.COMMAND_SECONDS)
    daemon.virsh("blockresize web vdb 32M")
    until(lambda: web.run("blockdev --getsize64 /dev/vdb").strip() == str(32 << 20), "the guest sees the new size",
          places.COMMAND_SECONDS)
    assert "already exists" in daemon.fails(f"attach-disk web {image} vdb --live")


def test_devices_come_and_go_by_their_xml(daemon, web, shared_folder):
    """attach-device and detach-device of a running guest's disk; the definition stays as it was."""
    image = disks.empty(f"{shared_folder}/by-xml.img", 8)
    path = f"{daemon.folder}/disk.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>"
                   "<target dev='vdd' bus='virtio'/><serial>by-xml</serial></disk>")
    daemon.virsh(f"attach-device web {path} --live")
    until(lambda: "by-xml" in web.try_run("cat /sys/block/vd?/serial; echo")[1], "the guest sees the disk", places.COMMAND_SECONDS)
    assert image in daemon.virsh("dumpxml web") and image not in daemon.virsh("dumpxml web --inactive")
    daemon.virsh(f"detach-device web {path} --live")
    until(lambda: "by-xml" not in web.try_run("cat /sys/block/vd?/serial; echo")[1], "the guest has let go of it", places.COMMAND_SECONDS)
    until(lambda: image not in daemon.virsh("dumpxml web"), "virsh knows it", places.COMMAND_SECONDS)


def test_interfaces_come_and_go(daemon, web):
    """attach-interface and detach-interface: the guest's NIC and the host's tap in its bridge, both gone afterwards."""
    bridge, mac = "lodge-br9", "52:54:00:44:55:66"
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    try:
        daemon.virsh(f"attach-interface web bridge {bridge} --model virtio --mac {mac} --live")
        until(lambda: mac in web.run("cat /sys/class/net/*/address"), "the guest sees the NIC", places.COMMAND_SECONDS)
        tap = re.search(rf"^ *(vnet\d+) +bridge +{bridge} +virtio +{mac}", daemon.virsh("domiflist web"), re.MULTILINE).group(1)
        assert os.path.basename(os.readlink(f"/sys/class/net/{tap}/master")) == bridge
        daemon.virsh(f"detach-interface web bridge --mac {mac} --live")
        until(lambda: mac not in web.run("cat /sys/class/net/*/address"), "the guest has let go of it", places.COMMAND_SECONDS)
        until(lambda: mac not in daemon.virsh("domiflist web"), "virsh knows it", places.COMMAND_SECONDS)
        until(lambda: not os.path.exists(f"/sys/class/net/{tap}"), "the tap is gone", places.COMMAND_SECONDS)
    finally:
        subprocess.run(["ip", "link", "del", bridge], check=True)


def test_interfaces_are_counted_and_cut(daemon, web):
    """domiflist, domifstat and domif-setlink; the guest loses its carrier and gets it back."""
    tap = re.search(r"^ *(vnet\d+) +ethernet", daemon.virsh("domiflist web"), re.MULTILINE).group(1)
    assert os.path.exists(f"/sys/class/net/{tap}")
    web.run("ip link set eth0 up; ip addr add 10.9.8.7/24 dev eth0; ping -c 1 -W 1 10.9.8.1 || true")
    assert int(re.search(rf"{tap} tx_packets (\d+)", daemon.virsh(f"domifstat web {tap}")).group(1)) > 0
    daemon.virsh(f"domif-setlink web {tap} down")
    until(lambda: web.run("cat /sys/class/net/eth0/carrier").strip() == "0", "no carrier", places.COMMAND_SECONDS)
    assert "down" in daemon.virsh(f"domif-getlink web {tap}")
    daemon.virsh(f"domif-setlink web {tap} up")
    until(lambda: web.run("cat /sys/class/net/eth0/carrier").strip() == "1", "carrier", places.COMMAND_SECONDS)


def test_a_restarted_daemon_finds_the_guest(daemon, web):
    """Killed and started again, it knows id, state and terminal, and the guest has not noticed."""
    number, tty = daemon.virsh("domid web"), daemon.virsh("ttyconsole web")
    daemon.kill()
    daemon.start()
    until(lambda: daemon.state("web").startswith("running"), "it is found", places.COMMAND_SECONDS)
    assert (daemon.virsh("domid web"), daemon.virsh("ttyconsole web")) == (number, tty)
    console = Console("web")
    console.guest.listening = True
    assert console.guest.run("echo still here") == "still here\n"
    daemon.virsh("suspend web")
    daemon.virsh("resume web")
    daemon.virsh("shutdown web")
    console.stream.wait_for("LODGE-POWEROFF", places.COMMAND_SECONDS)
    until(lambda: daemon.state("web") == "shut off (shutdown)", "the guest is off", places.COMMAND_SECONDS)
    console.close()
    assert not [name for name in os.listdir(f"{daemon.folder}/run") if "web" in name]


def test_read_only_clients_may_only_look(daemon):
    """virsh -r lists and refuses to change; the server refuses too, whatever the client library does."""
    daemon.define("seen")
    status, output, _ = daemon.try_virsh("--readonly list --all")
    assert status == 0 and "seen" in output
    assert "read only access" in daemon.fails("--readonly destroy seen")
    daemon.virsh("undefine seen")


def test_rubbish_ends_its_own_connection_only(daemon):
    """Lengths, programs and procedures that there are not; other clients are served meanwhile."""
    for rubbish in (b"\xff" * 64, b"\0\0\0\x04", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x1c" + b"\xee" * 24):
        client = socket.socket(socket.AF_UNIX)
        client.connect(SOCKET)
        client.settimeout(places.CONTROL_SECONDS)
        client.sendall(rubbish)
        assert "LODGE" in daemon.virsh("version")
        while client.recv(4096):
            pass  # the server answers or closes
        client.close()
    idle = [socket.socket(socket.AF_UNIX) for _ in range(200)]
    for client in idle:
        client.connect(SOCKET)
        client.sendall(b"\0\0\0\x1c")  # and never the rest
    assert "LODGE" in daemon.virsh("version")
    for client in idle:
        client.close()
