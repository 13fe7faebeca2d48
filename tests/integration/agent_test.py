"""The guest's agent, Debian's qemu-ga, through stock virsh; what it does is looked at inside the guest."""
import base64
import re
import subprocess
import time

import pytest
from support import hotplug, places
from support.daemon import URI, Console
from support.wait import until

CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
WORDS = f"{places.APPEND} lodge.agent=1 lodge.qga=1 lodge.ip=10.9.8.7/24"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtleQ test@lodge"
MAC = "52:54:00:11:22:44"


@pytest.fixture(scope="module")
def events(daemon):
    """What `virsh event` says of agents."""
    process = subprocess.Popen(["stdbuf", "-oL", "virsh", "-c", URI, "event", "--event", "agent-lifecycle", "--loop"], stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def web(daemon, events, shared_root):
    """A guest with an agent, and its console."""
    daemon.define("web", append=WORDS, machine="pc", vcpus=2, devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{shared_root}'/><target dev='vda' bus='virtio'/></disk>
      <interface type='ethernet'><mac address='{MAC}'/><model type='virtio'/></interface>
      {CHANNEL}""")
    daemon.virsh("start web")
    assert "connected'" in daemon.virsh("dumpxml web")
    console = Console("web")
    console.guest.wait_until_up()
    until(lambda: "state='connected'" in daemon.virsh("dumpxml web"), "the agent opens its channel", places.COMMAND_SECONDS)
    yield console.guest
    console.close()


def test_the_agent_is_told_of(daemon, web, events):
    """The channel's state is in the live XML and was an event."""
    assert web.run("pidof qemu-ga >/dev/null && echo runs") == "runs\n"
    line = events.stdout.readline()
    assert "agent-lifecycle" in line and "connected" in line and "channel event" in line


def test_raw_commands_and_timeouts(daemon, web):
    """qemu-agent-command, its errors, and guest-agent-timeout."""
    assert '"return":{}' in daemon.virsh("qemu-agent-command web", '{"execute":"guest-ping"}')
    assert "guest-nonsense" in daemon.fails("qemu-agent-command web", '{"execute":"guest-nonsense"}')
    daemon.virsh("guest-agent-timeout web --timeout 20")


def test_the_guest_is_described(daemon, web):
    """guestinfo, domhostname, domfsinfo, domifaddr say what the guest says of itself."""
    seconds = int(time.time())
    record = bytearray(384)
    record[0:2] = (7).to_bytes(2, "little")
    record[4:8] = (1).to_bytes(4, "little")
    record[8:12] = b"tty1"
    record[44:49] = b"alice"
    record[340:344] = seconds.to_bytes(4, "little")
    web.run(f"echo {base64.b64encode(bytes(record)).decode()} | base64 -d > /run/utmp")
    info = dict(re.findall(r"^(\S+) *: (.*)$", daemon.virsh("guestinfo web"), re.MULTILINE))
    assert info["user.count"] == "1" and info["user.0.name"] == "alice"
    assert info["user.0.login-time"] == str(seconds * 1000)
    assert info["os.id"] == "lodge-test" and info["os.kernel-release"] == web.run("uname -r").strip()
    assert info["timezone.offset"] == "0" and info["hostname"] == "guest"
    assert info["fs.0.mountpoint"] == "/" and info["fs.0.fstype"] == "ext4" and info["fs.0.disk.0.alias"] == "vda"
    assert any(name.endswith(".name") and value == "/dev/vda" for name, value in info.items() if name.startswith("disk."))
    names = {value: name for name, value in info.items() if re.fullmatch(r"if\.\d+\.name", name)}
    assert info[names["eth0"].replace("name", "hwaddr")] == MAC
    assert info[names["eth0"].replace("name", "addr.0.addr")] == "10.9.8.7"
    assert daemon.virsh("domhostname web --source agent").strip() == "guest"
    assert re.search(r"^ */ +vda +ext4 +vda$", daemon.virsh("domfsinfo web"), re.MULTILINE)
    assert re.search(rf"eth0 +{MAC} +ipv4 +10\.9\.8\.7/24", daemon.virsh("domifaddr web --source agent"))


def test_the_clock_is_read_and_set(daemon, web):
    """domtime, --time and --now."""
    told = int(re.search(r"Time: (\d+)", daemon.virsh("domtime web")).group(1))
    assert abs(told - int(web.run("date +%s"))) < 30
    daemon.virsh("domtime web --time 1000000000")
    assert 1000000000 <= int(web.run("date +%s")) < 1000000000 + 600
    daemon.virsh("domtime web --now")
    assert abs(int(web.run("date +%s")) - time.time()) < 600


def test_file_systems_freeze_thaw_and_trim(daemon, web):
    """A frozen file system holds a writer up until it thaws."""
    assert "Froze" in daemon.virsh("domfsfreeze web")
    web.run("(echo x > /root/late; echo > /run/written) >/dev/null 2>&1 &")
    assert web.try_run("[ -e /run/written ]")[0] == 1
    assert "Thawed" in daemon.virsh("domfsthaw web")
    hotplug.wait_for(web, "[ -e /run/written ]")
    daemon.virsh("domfstrim web")


def test_passwords_and_keys(daemon, web):
    """set-user-password and the authorized keys end up in the guest's files."""
    before = web.run("grep ^root: /etc/shadow")
    daemon.virsh("set-user-password web root secret")
    assert web.run("grep ^root: /etc/shadow") != before
    daemon.virsh("set-user-password web root HASH --encrypted")
    assert web.run("grep ^root: /etc/shadow").startswith("root:HASH:")
    path = f"{daemon.folder}/key.pub"
    with open(path, "w", encoding="utf-8") as file:
        file.write(KEY + "\n")
    daemon.virsh(f"set-user-sshkeys web root --file {path}")
    assert web.run("cat /root/.ssh/authorized_keys").strip() == KEY
    assert daemon.virsh("get-user-sshkeys web root").strip() == KEY
    daemon.virsh(f"set-user-sshkeys web root --file {path} --remove")
    assert KEY not in web.run("cat /root/.ssh/authorized_keys")


def test_the_guests_own_vcpus(daemon, web):
    """guestvcpus and setvcpus --guest switch them inside."""
    assert re.search(r"^online +: 0-1$", daemon.virsh("guestvcpus web"), re.MULTILINE)
    daemon.virsh("guestvcpus web --cpulist 1 --disable")
    assert web.run("cat /sys/devices/system/cpu/online") == "0\n"
    daemon.virsh("setvcpus web 2 --guest")
    assert web.run("cat /sys/devices/system/cpu/online") == "0-1\n"
    assert daemon.virsh("vcpucount web --guest").strip() == "2"
    assert "guest is missing vCPUs '7'" in daemon.fails("guestvcpus web --cpulist 7 --disable")


def test_sleep_that_is_not_offered_is_refused(daemon, web):
    """No S3; nothing sleeps that could wake up; no duration."""
    assert "S3 state is disabled for this domain" in daemon.fails("dompmsuspend web mem")
    assert "Duration not supported" in daemon.fails("dompmsuspend web disk --duration 60")
    assert "guest is not in suspended state" in daemon.fails("dompmwakeup web")


def test_addresses_that_the_host_knows(daemon, web):
    """Leases of dnsmasq and the kernel's neighbours, by the interface's MAC; rubbish among them does not matter."""
    assert MAC not in daemon.virsh("domifaddr web --source lease")
    subprocess.run(["mkdir", "-p", "/var/lib/libvirt/dnsmasq"], check=True)
    with open("/var/lib/libvirt/dnsmasq/lodgetest.status", "w", encoding="utf-8") as file:
        file.write(f"""[17, {{"mac-address": 5}}, {{"ip-address": "rubbish", "mac-address": "{MAC}", "expiry-time": 0}},
          {{"ip-address": "10.9.8.6", "mac-address": "{MAC}", "hostname": "old", "expiry-time": 1000}},
          {{"ip-address": "10.9.8.7", "mac-address": "{MAC.upper()}", "hostname": "leased", "expiry-time": 4000000000}}]""")
    with open("/var/lib/libvirt/dnsmasq/bad.status", "w", encoding="utf-8") as file:
        file.write("[" * 100000)
    told = daemon.virsh("domifaddr web --source lease")
    assert "10.9.8.7/" in told and "10.9.8.6" not in told and "rubbish" not in told
    assert daemon.virsh("domhostname web --source lease").strip() == "leased"
    subprocess.run("ip link add lodgearp type dummy && ip link set lodgearp up && ip addr add 10.9.9.1/24 dev lodgearp && "
                   f"ip neigh add 10.9.9.7 lladdr {MAC} dev lodgearp", shell=True, check=True)
    try:
        assert "10.9.9.7" in daemon.virsh("domifaddr web --source arp")
    finally:
        subprocess.run(["ip", "link", "del", "lodgearp"], check=True)


def test_reboot_and_shutdown_by_the_agent(daemon, web):
    """The guest starts anew, with its agent; then it ends."""
    before = daemon.virsh("domid web")
    web.listening = False
    daemon.virsh("reboot web --mode agent")
    web.wait_until_up(places.BOOT_SECONDS * 2)
    assert daemon.virsh("domid web") == before
    until(lambda: daemon.try_virsh("domtime web")[0] == 0, "the agent is there again", places.COMMAND_SECONDS)
    daemon.virsh("shutdown web --mode agent")
    until(lambda: daemon.state("web") == "shut off (shutdown)", "the guest ends", places.COMMAND_SECONDS)


def test_a_guest_without_a_channel(daemon):
    """libvirt's words for no agent at all, and for a domain that does not run."""
    assert "domain is not running" in daemon.fails("domtime web")
    daemon.define("bare")
    daemon.virsh("start bare --paused")
    assert "QEMU guest agent is not configured" in daemon.fails("domtime bare")
    assert "QEMU guest agent is not configured" in daemon.fails("shutdown bare --mode agent")
    daemon.virsh("destroy bare")
