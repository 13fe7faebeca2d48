"""Watchdogs by virsh: what each action does, which event is told, what is remembered as the reason; and Linux's own drivers."""
import os

import pytest
from support import places
from support.daemon import Console, Events
from support.wait import until

GUEST = f"{places.TREE}/build/release/guests/watchdog"
WORDS = {"ib700": "", "i6300esb": "esb"}

DOMAIN = f"""<domain type='kvm'>
  <name>dog</name>
  <memory unit='MiB'>32</memory>
  <os><type machine='pc'>hvm</type><kernel>{GUEST}</kernel><cmdline>{{words}}</cmdline></os>
  <features><acpi/><apic/></features>
  <devices>
    <serial type='file'><source path='{{said}}'/></serial>
    {{watchdog}}
  </devices>
</domain>
"""


def xml(model, action):
    """The device."""
    return f"<watchdog model='{model}' action='{action}'/>"


class Bare:
    """A domain whose guest lets its watchdog end at once, and what it says."""

    def __init__(self, daemon, folder, model, action):
        self.daemon = daemon
        self.said = f"{folder}/said"
        path = f"{folder}/dog.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(DOMAIN.format(words=WORDS[model], said=self.said, watchdog=xml(model, action)))
        daemon.virsh(f"define {path}")
        self.events = Events(daemon, "dog", "--config")
        daemon.virsh("start dog")

    def text(self):
        """What the guest has said."""
        if not os.path.exists(self.said):
            return ""
        with open(self.said, encoding="utf-8", errors="replace") as file:
            return file.read()

    def wait_for_event(self, action):
        """Until the event is told."""
        until(lambda: f"event 'watchdog' for domain 'dog': {action}" in self.events.stream.tail(), f"the event tells of {action}",
              places.BOOT_SECONDS)

    def wait_for_state(self, state):
        """Until the domain has it."""
        until(lambda: self.daemon.state("dog") == state, f"it is {state}", places.BOOT_SECONDS)

    def close(self):
        """Ends and forgets it."""
        self.events.close()
        if not self.daemon.state("dog").startswith("shut off"):
            self.daemon.virsh("destroy dog")
        self.daemon.virsh("undefine dog")


@pytest.fixture
def bare(daemon, tmp_path):
    """bare(MODEL, ACTION) starts one."""
    started = []

    def start(model, action):
        started.append(Bare(daemon, tmp_path, model, action))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.mark.parametrize("model", WORDS)
def test_reset(bare, model):
    """It starts anew, again and again."""
    dog = bare(model, "reset")
    dog.wait_for_event("reset")
    until(lambda: dog.text().count("STARTED") >= 3, "it has started three times", places.BOOT_SECONDS)
    assert dog.daemon.state("dog").startswith("running")


@pytest.mark.parametrize("model", WORDS)
def test_poweroff(bare, model):
    """It is off, by the host's will."""
    dog = bare(model, "poweroff")
    dog.wait_for_event("poweroff")
    dog.wait_for_state("shut off (destroyed)")


@pytest.mark.parametrize("model", WORDS)
def test_shutdown(bare, model):
    """The guest finds its power button pressed and switches itself off."""
    dog = bare(model, "shutdown")
    dog.wait_for_event("shutdown")
    dog.wait_for_state("shut off (shutdown)")
    assert "BUTTON" in dog.text()


@pytest.mark.parametrize("model", WORDS)
def test_pause(bare, model):
    """It stands still, and goes on when told to."""
    dog = bare(model, "pause")
    dog.wait_for_event("pause")
    dog.wait_for_state("paused (watchdog)")
    dog.daemon.virsh("resume dog")
    assert dog.daemon.state("dog") == "running (unpaused)"


@pytest.mark.parametrize("model", WORDS)
def test_none(bare, model):
    """Only the event."""
    dog = bare(model, "none")
    dog.wait_for_event("none")
    assert dog.daemon.state("dog").startswith("running")


@pytest.mark.parametrize("model", WORDS)
def test_inject_nmi(bare, model):
    """The processor takes it."""
    dog = bare(model, "inject-nmi")
    dog.wait_for_event("inject-nmi")
    dog.wait_for_state("shut off (shutdown)")
    assert "NMI" in dog.text()


@pytest.mark.parametrize("model, module", [("i6300esb", "i6300esb"), ("ib700", "ib700wdt")])
def test_linux_feeds_it(daemon, base_image, model, module):
    """Its driver finds it; fed it lives, not fed it is paused."""
    daemon.define("fed", kernel=places.PC_KERNEL, initrd=places.PC_INITRD, append=f"{places.APPEND} lodge.agent=1 ro", machine="pc", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>
      {xml(model, 'pause')}""")
    defined = daemon.virsh("dumpxml fed")
    placed = f"<watchdog model='{model}' action='pause'>\n      <address type='pci'"
    assert placed in defined if model == "i6300esb" else f"<watchdog model='{model}' action='pause'/>" in defined
    daemon.virsh("start fed")
    console = Console("fed")
    guest = console.guest
    guest.wait_until_up(2 * places.BOOT_SECONDS)
    guest.run(f"modprobe {module} {'heartbeat' if model == 'i6300esb' else 'timeout'}=4")
    guest.run("mkfifo /tmp/starve; bash -c 'exec 3> /dev/watchdog 4<> /tmp/starve; until read -t 1 -u 4; do echo >&3; done; tail -f /dev/null' "
              "> /dev/null 2>&1 &")
    begin = float(guest.run("cut -d' ' -f1 /proc/uptime"))
    until(lambda: float(guest.run("cut -d' ' -f1 /proc/uptime")) > begin + 8, "twice the time has passed", places.BOOT_SECONDS)
    assert daemon.state("fed").startswith("running")
    guest.run("echo > /tmp/starve")
    until(lambda: daemon.state("fed") == "paused (watchdog)", "it is paused", places.BOOT_SECONDS)
    console.close()
    daemon.virsh("destroy fed")
    daemon.virsh("undefine fed")


def test_refusals(daemon):
    """What cannot be done is said at the start."""
    for machine, model, action, words in (("pc", "i6300esb", "dump", "no dump of a guest"), ("microvm", "ib700", "reset", "machine 'pc'")):
        daemon.define("refused", machine=machine, devices=xml(model, action))
        assert words in daemon.fails("start refused")
        daemon.virsh("undefine refused")
