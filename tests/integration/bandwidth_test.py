"""How fast guests' interfaces may be: <bandwidth> and domiftune, seen in the queueing disciplines of the taps."""
import re
import subprocess

from support import places

IDLE = f"{places.TREE}/build/release/guests/idle"
MAC = "52:54:00:33:44:55"
NIC = f"<interface type='ethernet'><mac address='{MAC}'/>{{}}<model type='virtio'/></interface>"


def tc(*arguments):
    """What the kernel has."""
    return subprocess.run(["tc", *arguments], capture_output=True, text=True, check=True).stdout


def tap_of(daemon, name):
    """The interface's tap."""
    return re.search(r"^ (\S+) +ethernet", daemon.virsh(f"domiflist {name}"), re.MULTILINE).group(1)


def tuning(daemon, name, *arguments):
    """domiftune's numbers, by name."""
    return dict(re.findall(r"^(\S+) *: (\d+)$", daemon.virsh(f"domiftune {name} {MAC}", *arguments), re.MULTILINE))


def test_limits_are_there_from_the_start_and_change_while_the_guest_runs(daemon):
    """A definition's limits; others, live and for the next start; none."""
    limits = "<bandwidth><inbound average='1000' peak='2000' burst='256'/><outbound average='500'/></bandwidth>"
    daemon.define("slow", kernel=IDLE, initrd="", memory=16, devices=NIC.format(limits))
    daemon.virsh("start slow")
    tap = tap_of(daemon, "slow")
    assert "htb" in tc("qdisc", "show", "dev", tap) and "rate 8Mbit ceil 16Mbit" in tc("class", "show", "dev", tap)
    assert "rate 4Mbit" in tc("filter", "show", "dev", tap, "parent", "ffff:")
    told = tuning(daemon, "slow")
    assert (told["inbound.average"], told["inbound.peak"], told["inbound.burst"], told["outbound.average"]) == ("1000", "2000", "256", "500")
    daemon.virsh(f"domiftune slow {tap} --inbound 3000 --live")
    assert "rate 24Mbit ceil 24Mbit" in tc("class", "show", "dev", tap)
    assert "rate 4Mbit" in tc("filter", "show", "dev", tap, "parent", "ffff:")
    assert tuning(daemon, "slow", "--config")["inbound.average"] == "1000"
    assert "average='3000'" in daemon.virsh("dumpxml slow")
    daemon.virsh(f"domiftune slow {MAC} --inbound 0 --outbound 0 --live --config")
    assert "htb" not in tc("qdisc", "show", "dev", tap) and "ingress" not in tc("qdisc", "show", "dev", tap)
    assert "bandwidth" not in daemon.virsh("dumpxml slow") and "bandwidth" not in daemon.virsh("dumpxml slow --inactive")
    daemon.virsh("destroy slow")


def test_what_cannot_be_is_refused(daemon):
    """A guest without a tap, a floor, an interface that there is not."""
    daemon.define("quick", kernel=IDLE, initrd="", memory=16, devices=NIC.format(""))
    assert "cannot find interface" in daemon.fails("domiftune quick 52:54:00:00:00:99")
    daemon.virsh("start quick")
    assert "floor" in daemon.fails(f"domiftune quick {MAC} --inbound 1000,0,0,500 --live")
    daemon.virsh("destroy quick")
