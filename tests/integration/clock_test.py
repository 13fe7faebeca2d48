"""The battery-backed clock: its interrupts as Linux's driver sees them, and <clock> by virsh."""
import subprocess
import time

import pytest
from support import places
from support.daemon import URI, Console
from support.wait import until

HOUR = 3600


@pytest.fixture(scope="module")
def machine(shared_vmm, base_image):
    """A pc whose clock is an hour slow."""
    vmm = shared_vmm(machine="pc", agent=True, append="ro", disks=[f"path={base_image},read_only=on,id=root"],
                     extra=("--clock", f"offset_seconds=-{HOUR}"))
    yield vmm
    vmm.kill()


def guest_clock(guest):
    """What the chip says, in seconds since 1970, UTC."""
    return int(guest.run("cat /sys/class/rtc/rtc0/since_epoch"))


def test_the_clock_begins_at_its_offset(machine):
    """Its seconds are the host's, an hour ago."""
    before = time.time()
    seen = guest_clock(machine.guest)
    assert before - HOUR - 2 <= seen <= time.time() - HOUR + 2


def test_an_alarm_interrupts_the_guest(machine):
    """The driver forgets an alarm when its interrupt has come."""
    guest = machine.guest
    guest.run("grep -q rtc0 /proc/interrupts")
    guest.run("cd /sys/class/rtc/rtc0; echo 0 > wakealarm; echo +2 > wakealarm; test -n \"$(cat wakealarm)\"")
    until(lambda: guest.run("cat /sys/class/rtc/rtc0/wakealarm").strip() == "", "the alarm has come", places.COMMAND_SECONDS)
    count = guest.run("awk '/rtc0/ {print $2}' /proc/interrupts").strip()
    assert int(count) >= 1


def test_what_the_guest_sets_is_told(machine):
    """hwclock writes the guest's own time, which is the host's by kvm-clock: the hour is gone."""
    guest = machine.guest
    control = machine.control
    before = time.time()
    guest.run(f"date -u -s @{int(before)}; hwclock -w -u -f /dev/rtc0")
    event = control.wait_for_event("RTC_CHANGE")
    assert abs(int(event["data"]["offset"])) <= 60
    assert abs(guest_clock(guest) - time.time()) <= 60


def test_a_variable_clock_keeps_what_the_guest_set(daemon, base_image):
    """The event with the new adjustment, the live definition, and the next start."""
    daemon.define("clock", machine="pc", append=f"{places.APPEND} lodge.agent=1 ro",
                  head="<clock offset='variable' adjustment='-7200' basis='utc'/>", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/>
        <readonly/></disk>""")
    with subprocess.Popen(["virsh", "-c", URI, "event", "--domain", "clock", "--event", "rtc-change", "--timeout", "300"],
                          stdout=subprocess.PIPE, text=True) as waiting:
        daemon.virsh("start clock")
        console = Console("clock")
        console.guest.wait_until_up(2 * places.BOOT_SECONDS)
        assert abs(guest_clock(console.guest) - (time.time() - 2 * HOUR)) <= 5
        console.guest.run(f"date -u -s @{int(time.time()) + 5 * HOUR}; hwclock -w -u -f /dev/rtc0")
        said = waiting.communicate(timeout=places.COMMAND_SECONDS)[0]
    console.close()
    assert "rtc-change" in said
    told = int(said.split("rtc-change' for domain 'clock':")[1].split()[0])
    assert abs(told - 5 * HOUR) <= 60
    assert f"adjustment='{told}'" in daemon.virsh("dumpxml clock")
    until(lambda: f"adjustment='{told}'" in daemon.virsh("dumpxml clock --inactive"), "the definition has it",
          places.CONTROL_SECONDS)
    daemon.virsh("destroy clock")
    daemon.virsh("undefine clock")


def test_a_zone_that_there_is_not(daemon):
    """Named in the error; a real one starts."""
    daemon.define("zone", machine="pc", head="<clock offset='timezone' timezone='Europe/Nowhere'/>")
    assert "Europe/Nowhere" in daemon.fails("start zone")
    daemon.virsh("undefine zone")
    daemon.define("zone", machine="pc", head="<clock offset='timezone' timezone='Asia/Kolkata'/>")
    daemon.virsh("start zone")
    daemon.virsh("destroy zone")
    daemon.virsh("undefine zone")
