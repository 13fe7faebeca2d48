"""virtio-net over taps (by the monitor and by vhost) and over passt. The tests of a guest share it."""
import json
import os
import subprocess

import pytest
from support import network, places
from support.mirror import Mirror, check_round_trip
from support.wait import until

OFFLOADS_OFF = "ethtool -K eth0 tx off rx off tso off gso off gro off"
OFFLOADS_ON = "ethtool -K eth0 tx on rx on tso on gso on gro on"
TRANSFER = 4  # MiB
SMALL = 512  # KiB
WITHOUT_AVX2 = "[ ! -e /usr/bin/passt.avx2 ] || mount --bind /dev/null /usr/bin/passt.avx2"


class Machine:
    """A guest on a tap, with a TCP mirror on the host's side and an iperf3 server in the guest."""

    def __init__(self, start, root, net="", queues=1, **options):
        self.tap = network.Tap(queues=queues)
        self.mirror = Mirror(self.tap)
        disk = f"path={root},read_only=on"
        self.vmm = start(
            agent=True,
            kernel=places.KERNEL_ELF,
            disks=[disk],
            nets=[f"{self.tap.option}{net}"],
            network=self.tap,
            append=f"ro {self.tap.append}",
            **options,
        )
        self.guest = self.vmm.guest
        self.guest.run("iperf3 -s -D")

    def iperf(self, *words):
        """Runs iperf3 with the host as client; returns how many bytes were sent and how many of them the receiver counted."""
        report = json.loads(self.tap.run("iperf3", "-J", "-c", self.tap.guest_address, *words))
        assert "error" not in report
        total = report["end"].get("sum", {})
        return tuple(report["end"].get(word, total)["bytes"] for word in ("sum_sent", "sum_received"))

    def check_both_ways(self, *words):
        """Ping, large and small, iperf3, and contents."""
        for size in ("56", "1472", "20000"):
            assert " 0% packet loss" in self.guest.run(f"ping -c 2 -i 0.2 -s {size} {self.tap.gateway}")
            assert " 0% packet loss" in self.tap.run("ping", "-c", "2", "-i", "0.2", "-s", size, self.tap.guest_address)
        for direction in ([], ["-R"]):
            sent, received = self.iperf("-n", f"{TRANSFER}M", *direction, *words)
            assert sent >= TRANSFER << 20 and received > 0  # what is on the way at the end is not counted
        check_round_trip(self.guest, self.tap.gateway, TRANSFER << 10)

    def close(self):
        """Ends what runs on the host."""
        self.vmm.kill()
        self.mirror.close()
        self.tap.close()


@pytest.fixture(scope="module")
def plain(shared_vmm, shared_root):
    """One queue pair, two processors."""
    machine = Machine(shared_vmm, shared_root, cpus=2)
    yield machine
    machine.close()


@pytest.mark.parametrize("offloads", [OFFLOADS_ON, OFFLOADS_OFF], ids=["offloads", "no-offloads"])
def test_tap(plain, offloads):
    """Everything passes, with checksums and segmentation left to the host and done by the guest."""
    plain.guest.run(offloads)
    features = plain.guest.run("ethtool -k eth0")
    assert f"tcp-segmentation-offload: {'on' if offloads == OFFLOADS_ON else 'off'}" in features
    plain.check_both_ways()
    plain.guest.run(OFFLOADS_ON)


def test_udp_arrives_whole(plain):
    """A stream of datagrams at a moderate rate, both ways."""
    for direction in ([], ["-R"]):
        sent, received = plain.iperf("-u", "-b", "20M", "-n", "2M", *direction)
        assert sent >= 2 << 20 and received > 1 << 20


def test_pulled_cable_is_seen_by_the_guest(plain):
    """set_link down and up: carrier in the guest, no packet meanwhile, and it works again."""
    control = plain.vmm.control
    control.execute("set_link", {"name": "net0", "up": False})
    until(lambda: plain.guest.run("cat /sys/class/net/eth0/carrier").strip() == "0", "the carrier goes")
    status, _ = plain.guest.try_run(f"ping -c 1 -W 1 {plain.tap.gateway}")
    assert status != 0
    control.execute("set_link", {"name": "net0", "up": True})
    until(lambda: plain.guest.run("cat /sys/class/net/eth0/carrier").strip() == "1", "the carrier comes")
    until(lambda: plain.guest.try_run(f"ping -c 1 -W 1 {plain.tap.gateway}")[0] == 0, "the gateway answers again")
    check_round_trip(plain.guest, plain.tap.gateway, 1024)


def test_driver_taken_off_and_bound_again_under_load(plain):
    """The NIC is reset while a transfer runs; it works again afterwards."""
    load = plain.tap.start("iperf3", "-c", plain.tap.guest_address, "-t", "30", stdout=-3, stderr=-3)
    try:
        plain.guest.run(
            f"""until grep -q eth0 /proc/net/route; do :; done
            device=$(basename $(readlink /sys/class/net/eth0/device))
            echo $device >/sys/bus/virtio/drivers/virtio_net/unbind
            echo $device >/sys/bus/virtio/drivers/virtio_net/bind
            ip link set eth0 up; ip addr add {plain.tap.guest_address}/24 dev eth0"""
        )
    finally:
        load.kill()
        load.wait()
    until(lambda: plain.guest.try_run(f"ping -c 1 -W 1 {plain.tap.gateway}")[0] == 0, "the gateway answers again")
    check_round_trip(plain.guest, plain.tap.gateway, 2048)


@pytest.fixture(scope="module")
def several(shared_vmm, shared_root):
    """Two queue pairs and an MTU."""
    machine = Machine(shared_vmm, shared_root, net=",queues=2,mtu=1400", queues=2, cpus=2)
    yield machine
    machine.close()


def test_several_queues_and_mtu(several):
    """The guest uses both queue pairs, also after it has changed their number; it has the MTU that was told."""
    assert several.guest.run("cat /sys/class/net/eth0/mtu").strip() == "1400"
    several.tap.ip("link", "set", several.tap.name, "mtu", "1400")
    for pairs in ("2", "1", "2"):
        several.guest.try_run(f"ethtool -L eth0 combined {pairs}")  # fails when nothing changes
        assert several.guest.run("ethtool -l eth0").split("Combined:")[2].split()[0] == pairs
        assert " 0% packet loss" in several.guest.run(f"ping -c 2 -i 0.2 {several.tap.gateway}")
    several.check_both_ways("-P", "4")


@pytest.fixture(scope="module")
def by_vhost(shared_vmm, shared_root):
    """The kernel serves the rings."""
    if not os.path.exists("/dev/vhost-net"):
        pytest.skip("this kernel has no /dev/vhost-net")
    machine = Machine(shared_vmm, shared_root, net=",vhost=on,queues=2", queues=2, cpus=2)
    yield machine
    machine.close()


@pytest.mark.parametrize("offloads", [OFFLOADS_ON, OFFLOADS_OFF], ids=["offloads", "no-offloads"])
def test_vhost(by_vhost, offloads):
    """As test_tap, by vhost-net."""
    by_vhost.guest.run(offloads)
    by_vhost.check_both_ways()
    by_vhost.guest.run(OFFLOADS_ON)


def test_vhost_pauses_and_resets(by_vhost):
    """Stop and cont hand the rings to the kernel again; so does a driver that starts over."""
    by_vhost.vmm.control.execute("stop")
    by_vhost.vmm.control.execute("cont")
    check_round_trip(by_vhost.guest, by_vhost.tap.gateway, 2048)
    by_vhost.guest.run(
        f"""device=$(basename $(readlink /sys/class/net/eth0/device))
        echo $device >/sys/bus/virtio/drivers/virtio_net/unbind
        echo $device >/sys/bus/virtio/drivers/virtio_net/bind
        ip link set eth0 up; ip addr add {by_vhost.tap.guest_address}/24 dev eth0"""
    )
    until(lambda: by_vhost.guest.try_run(f"ping -c 1 -W 1 {by_vhost.tap.gateway}")[0] == 0, "the gateway answers again")
    check_round_trip(by_vhost.guest, by_vhost.tap.gateway, 2048)


def test_passt(shared_vmm, shared_root):
    """User-mode networking: an address by DHCP, pings small and large, and TCP to the host through the gateway's address."""
    outside = network.Tap()  # its namespace is the host that passt shares with the guest
    # The test bed's emulated AVX2 makes the AVX2 build of Debian 12's passt send wrong data: keep to the other one.
    outside.enter += ["unshare", "--mount", "sh", "-c", f"{WITHOUT_AVX2}; exec \"$@\"", "sh"]
    try:
        outside.ip("addr", "add", "192.0.2.5/24", "dev", outside.name)
        outside.ip("route", "add", "default", "via", "192.0.2.1", "dev", outside.name)
        outside.ip("addr", "del", f"{outside.gateway}/24", "dev", outside.name)
        outside.ip("addr", "add", "198.51.100.1/32", "dev", "lo")  # passt maps no pings to the gateway's address
        # Who may send pings without being root, as passt does; Debian allows all.
        outside.run("sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range")
        mirror = Mirror(outside, limit=SMALL << 10)
        server = outside.start("iperf3", "-s", stdout=subprocess.DEVNULL)
        machine = shared_vmm(
            agent=True,
            kernel=places.KERNEL_ELF,
            disks=[f"path={shared_root},read_only=on"],
            nets=["user"],
            network=outside,
            append="ro lodge.ip=dhcp",
        )
        assert "inet 192.0.2.5/24" in machine.guest.run("ip addr show eth0"), machine.serial.tail()
        assert "via 192.0.2.1" in machine.guest.run("ip route")
        for size in ("56", "1472", "20000"):
            assert " 0% packet loss" in machine.guest.run(f"ping -c 2 -i 0.2 -s {size} 198.51.100.1")
        # The guest does not half-close: Debian 12's passt then forgets what was acknowledged.
        check_round_trip(machine.guest, "192.0.2.1", SMALL, half_close=False)
        for direction in ("", "-R"):
            report = machine.guest.run(f"iperf3 -J -c 192.0.2.1 -n {TRANSFER}M {direction}", timeout=180)
            assert json.loads(report)["end"]["sum_sent"]["bytes"] >= TRANSFER << 20
        machine.power_down()
    finally:
        server.kill()
        server.wait()
        mirror.close()
        outside.close()
