"""Debian's libvirt-guests, run as the host's shutdown and boot run it, with URIS=lodge:///system."""
import os
import subprocess

import pytest
from support import places
from support.daemon import Console
from support.wait import until

SCRIPT = "/usr/lib/libvirt/libvirt-guests.sh"
SETTINGS = "/etc/default/libvirt-guests"
LIST = "/var/lib/libvirt/libvirt-guests"
IDLE = f"{places.TREE}/build/release/guests/idle"


@pytest.fixture
def libvirt_guests():
    """libvirt_guests(ACTION, SETTING=...) -> (status, output) of the script."""
    os.makedirs(os.path.dirname(LIST), exist_ok=True)
    os.makedirs("/run/lock", exist_ok=True)  # /var/lock

    def run(action, **settings):
        with open(SETTINGS, "w", encoding="ascii") as file:
            file.writelines(f"{key}={value}\n" for key, value in {"URIS": "lodge:///system", "ON_SHUTDOWN": "shutdown",
                                                                  "ON_BOOT": "start", **settings}.items())
        done = subprocess.run(["sh", SCRIPT, action], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=4 * places.COMMAND_SECONDS, check=False)
        print(done.stdout)
        return done.returncode, done.stdout

    yield run
    for path in (SETTINGS, LIST, "/run/lock/libvirt-guests"):
        if os.path.exists(path):
            os.unlink(path)


def monitors():
    """Names of the guests that have a process."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/cmdline", "rb") as file:
                words = file.read().decode().split("\0")
        except OSError:
            continue
        if words[0] == places.VMM:
            found.add(words[words.index("--name") + 1])
    return found


def boots(daemon):
    """The daemon as after a boot of the host, whose /run is new."""
    daemon.stop()
    os.unlink(f"{daemon.folder}/run/autostarted")
    daemon.start()


def test_guests_go_down_with_the_host_and_come_back(daemon, libvirt_guests, base_image):
    """The guest hears the power button and powers off before stop returns; start starts what ran, the daemon what is marked, and no more."""
    daemon.define("web", append=f"{places.APPEND} lodge.agent=1 ro", devices=f"""<disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>""")
    daemon.define("marked", kernel=IDLE, initrd="", memory=16)
    daemon.define("off", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("autostart marked")
    daemon.virsh("start web")
    console = Console("web")
    console.guest.wait_until_up()
    status, output = libvirt_guests("stop", SHUTDOWN_TIMEOUT=60)
    assert status == 0 and "Shutdown of guest web complete" in output
    assert monitors() == set()
    console.stream.wait_for("LODGE-POWEROFF", places.CONTROL_SECONDS)
    console.close()
    assert daemon.state("web") == "shut off (shutdown)"
    assert "stopped, with saved guests" in libvirt_guests("status")[1]
    boots(daemon)
    until(lambda: monitors() == {"marked"}, "the guest that is marked runs", places.COMMAND_SECONDS)
    status, output = libvirt_guests("start")
    assert status == 0 and "Resuming guest web: done" in output
    assert monitors() == {"marked", "web"}
    assert not os.path.exists(LIST)
    for name in ("marked", "web"):
        daemon.virsh(f"destroy {name}")
        daemon.virsh(f"undefine {name}")


def test_a_guest_that_does_not_listen_is_given_up(daemon, libvirt_guests):
    """It is left running when the time is over, and the host goes on; it is not started twice."""
    daemon.define("deaf", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("start deaf")
    status, output = libvirt_guests("stop", SHUTDOWN_TIMEOUT=2)
    assert status == 0 and "Shutdown of guest deaf failed to complete in time" in output
    assert daemon.state("deaf").startswith("running")
    assert "Resuming guest deaf: already active" in libvirt_guests("start")[1]
