"""Network cards of real machines under Linux's drivers: by a tap, which leaves checksums and segments to the kernel, and by passt, which does not."""
import re

import pytest
from support import disks, network, places
from support.mirror import Mirror, check_round_trip
from support.wait import until

MODELS = {"e1000": "e1000", "rtl8139": "8139cp"}  # model -> the driver's module
TRANSFER = 1024  # KiB
SLOW = 4 * places.COMMAND_SECONDS


class Machine:
    """A guest with one card on a tap; the host's side answers and mirrors."""

    def __init__(self, start, root, model):
        self.tap = network.Tap()
        self.mirror = Mirror(self.tap)
        self.vmm = start(
            machine="pc",
            agent=True,
            name=model,
            kernel=places.PC_KERNEL,
            initrd=places.PC_INITRD,
            disks=[root],
            nets=[f"{self.tap.option},model={model}"],
            network=self.tap,
        )
        self.guest = self.vmm.guest
        self.guest.run(
            f"modprobe {MODELS[model]} && ip link set eth0 up && ip addr add {self.tap.guest_address}/24 dev eth0 &&"
            f" ip route add default via {self.tap.gateway}",
            timeout=SLOW,
        )
        until(lambda: self.guest.run("cat /sys/class/net/eth0/carrier").strip() == "1", "the carrier is there", SLOW)

    def answers(self):
        """Whether the gateway does."""
        return self.guest.try_run(f"ping -c 1 -W 1 {self.tap.gateway}", timeout=SLOW)[0] == 0

    def close(self):
        """Ends what runs on the host."""
        self.vmm.kill()
        self.mirror.close()
        self.tap.close()


@pytest.fixture(scope="module", params=list(MODELS))
def machine(request, shared_vmm, shared_folder, base_image):
    """One guest for each card."""
    root = disks.copy_sparse(base_image, f"{shared_folder}/{request.param}-root.ext4")
    machine = Machine(shared_vmm, root, request.param)
    machine.model = request.param
    yield machine
    machine.close()


def test_frames_go_both_ways(machine):
    """Small and large pings from both sides; contents in both directions, with the card's offloads and without them."""
    until(machine.answers, "the gateway answers", SLOW)
    for size in ("56", "1472", "20000"):
        assert " 0% packet loss" in machine.guest.run(f"ping -c 2 -i 0.2 -s {size} {machine.tap.gateway}", timeout=SLOW)
        assert " 0% packet loss" in machine.tap.run("ping", "-c", "2", "-i", "0.2", "-s", size, machine.tap.guest_address)
    check_round_trip(machine.guest, machine.tap.gateway, TRANSFER)
    machine.guest.try_run("ethtool -K eth0 tx off tso off sg off")
    check_round_trip(machine.guest, machine.tap.gateway, TRANSFER // 4)
    machine.guest.try_run("ethtool -K eth0 tx on sg on tso on")
    log = machine.guest.run("dmesg")
    assert "Tx Unit Hang" not in log and "transmit queue" not in log


def test_the_card_says_who_it_is(machine):
    """Address, speed, and its own self test of registers, EEPROM, interrupt."""
    address = machine.vmm.control.execute("query-net")[0]["mac"]
    assert machine.guest.run("cat /sys/class/net/eth0/address").strip() == address
    if machine.model == "e1000":
        assert machine.guest.run("cat /sys/class/net/eth0/speed").strip() == "1000"
        report = machine.guest.run("ethtool -t eth0 online", timeout=SLOW)
        assert "PASS" in report
        assert "Checksum" not in machine.guest.run("dmesg")
    else:
        assert machine.guest.run("cat /sys/class/net/eth0/speed").strip() == "100"
        words = "".join(re.findall(r"^0x0\S+\s+(.*)$", machine.guest.run("ethtool -e eth0 offset 0 length 32"), re.MULTILINE)).split()
        assert words[:2] == ["29", "81"] and ":".join(words[14:20]) == address
        counters = machine.guest.run("ethtool -S eth0")  # which the card writes to memory
        assert int(re.search(r"tx_ok: (\d+)", counters).group(1)) > 0
        assert int(re.search(r"rx_ok_phys: (\d+)", counters).group(1)) > 0


def test_a_pulled_cable_is_seen(machine):
    """Carrier in the guest, no packet meanwhile, and it works again."""
    control = machine.vmm.control
    control.execute("set_link", {"name": "net0", "up": False})
    until(lambda: machine.guest.run("cat /sys/class/net/eth0/carrier").strip() == "0", "the carrier goes", SLOW)
    assert not machine.answers()
    control.execute("set_link", {"name": "net0", "up": True})
    until(lambda: machine.guest.run("cat /sys/class/net/eth0/carrier").strip() == "1", "the carrier comes", SLOW)
    until(machine.answers, "the gateway answers again", SLOW)


def test_groups_and_tags(machine):
    """A group that is joined is heard; VLAN tags go through."""
    guest, tap = machine.guest, machine.tap
    guest.run("ip maddr add 01:00:5e:01:02:03 dev eth0 && ip link set eth0 promisc on && ip link set eth0 promisc off")
    guest.run("modprobe 8021q && ip link add link eth0 name eth0.7 type vlan id 7 && ip addr add 10.7.7.2/24 dev eth0.7 && ip link set eth0.7 up")
    tap.ip("link", "add", "link", tap.name, "name", "tag7", "type", "vlan", "id", "7")
    tap.ip("addr", "add", "10.7.7.1/24", "dev", "tag7")
    tap.ip("link", "set", "tag7", "up")
    until(lambda: guest.try_run("ping -c 1 -W 1 10.7.7.1", timeout=SLOW)[0] == 0, "the tagged network answers", SLOW)
    assert " 0% packet loss" in guest.run("ping -c 2 -i 0.2 -s 1400 10.7.7.1", timeout=SLOW)


def test_the_guest_goes_on_after_a_save(machine, shared_folder):
    """Saved in the middle of a transfer; what arrives is whole."""
    number = machine.guest.start("dd if=/dev/urandom of=/tmp/data bs=1k count=512 2>/dev/null; "
                                 f"nc {machine.tap.gateway} 7000 </tmp/data >/tmp/back; cmp /tmp/data /tmp/back")
    machine.vmm.control.execute("save", {"path": f"{shared_folder}/{machine.model}.save"}, timeout=SLOW)
    status, output = machine.guest.result(number, timeout=SLOW)
    assert status == 0, output


def test_the_driver_is_taken_off_and_put_on(machine):
    """The card is reset; it works again afterwards."""
    module = MODELS[machine.model]
    machine.guest.run(
        f"ip link del eth0.7; modprobe -r {module} && modprobe {module} && ip link set eth0 up &&"
        f" ip addr add {machine.tap.guest_address}/24 dev eth0",
        timeout=SLOW,
    )
    until(machine.answers, "the gateway answers again", SLOW)
