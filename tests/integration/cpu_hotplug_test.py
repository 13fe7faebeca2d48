"""Processors that come and go while a Linux guest runs, on both machines."""
import pytest
from support import hotplug
from support.control import ControlError

MACHINES = ("microvm", "pc")
SAVE_SECONDS = 120
NOTHING_BROKEN = "dmesg | grep -E 'BUG:|Oops|soft lockup|rcu: INFO|hung_task|nobody cared|ACPI.*Error|AE_' || true"
# What udev does in a system that has it.
ONLINE = "f=/sys/devices/system/cpu/cpu%d/online; [ -e $f ] && echo 1 > $f"


def start(vmm, machine, base_image, cpus="1,max=4"):
    """A guest with a read-only root disk and an agent."""
    return vmm(machine=machine, cpus=cpus, agent=True, disks=[f"path={base_image},read_only=on,id=root"], append="ro")


@pytest.fixture(scope="module", params=MACHINES)
def guest_machine(request, shared_vmm, base_image):
    """A guest that the tests of this file share."""
    machine = start(lambda **options: shared_vmm(name=f"cpus-{request.param}", **options), request.param, base_image)
    machine.guest.wait_until_up()
    yield machine
    assert machine.guest.run(NOTHING_BROKEN) == ""


def present(machine):
    """Numbers of the vCPUs that the monitor has."""
    return [cpu["cpu-index"] for cpu in machine.control.execute("query-cpus")]


def online(machine):
    """What the guest says."""
    return machine.guest.run("cat /sys/devices/system/cpu/online").strip()


def add(machine, index):
    """Adds a vCPU and waits until it works."""
    machine.control.execute("cpu_add", {"cpu-index": index})
    hotplug.wait_for(machine.guest, ONLINE % index)


def remove(machine, index):
    """Asks for a vCPU and waits until it is gone."""
    machine.control.execute("cpu_del", {"cpu-index": index})
    event = machine.control.wait_for_event("DEVICE_DELETED", 60)
    assert event["data"]["device"] == f"vcpu{index}"


def test_processors_come_work_and_go(guest_machine):
    """Each runs what it is given; the guest and the monitor agree; all of it again at the same numbers."""
    machine = guest_machine
    assert machine.guest.run("cat /sys/devices/system/cpu/possible") == "0-3\n"
    for _ in range(2):
        for index in (1, 2, 3):
            add(machine, index)
            assert present(machine) == list(range(index + 1))
            assert machine.guest.run(f"taskset -c {index} sh -c 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; echo $i'") == "1000\n"
        assert online(machine) == "0-3"
        remove(machine, 2)
        assert present(machine) == [0, 1, 3]
        assert online(machine) == "0-1,3"
        assert machine.guest.try_run("[ -e /sys/devices/system/cpu/cpu2/online ]")[0] == 1
        remove(machine, 3)
        remove(machine, 1)
        assert present(machine) == [0] and online(machine) == "0"


def test_what_cannot_be_is_refused_by_name(guest_machine):
    """Numbers that are taken, not possible, or must stay."""

    def refused(verb, index):
        with pytest.raises(ControlError) as error:
            guest_machine.control.execute(verb, {"cpu-index": index})
        return error.value.description

    assert "vCPU 0 is there already" in refused("cpu_add", 0)
    assert "vCPU 4 is not possible" in refused("cpu_add", 4)
    assert "is not possible" in refused("cpu_add", 1 << 40)
    assert "vCPU 0 stays" in refused("cpu_del", 0)
    assert "there is no vCPU 1" in refused("cpu_del", 1)
    seats = guest_machine.control.execute("query-hotpluggable-cpus")
    assert [(seat["cpu-index"], seat["present"], seat["removable"]) for seat in seats] == [
        (0, True, False),
        (1, False, True),
        (2, False, True),
        (3, False, True),
    ]


def test_a_processor_added_while_paused_comes_with_resume(guest_machine):
    """And one whose number the guest had taken offline by itself goes all the same."""
    machine = guest_machine
    machine.control.execute("stop")
    machine.control.execute("cpu_add", {"cpu-index": 2})
    assert present(machine) == [0, 2]
    machine.control.execute("cont")
    hotplug.wait_for(machine.guest, ONLINE % 2)
    assert online(machine) == "0,2"
    machine.guest.run("echo 0 > /sys/devices/system/cpu/cpu2/online")
    remove(machine, 2)
    assert present(machine) == [0]


def test_a_reset_keeps_what_came_and_lets_go_of_what_was_asked_for(guest_machine):
    """The guest starts anew with two processors; a request that it had no time to follow is followed."""
    machine = guest_machine
    add(machine, 1)
    add(machine, 3)
    remove(machine, 1)
    machine.control.execute("system_reset")
    machine.guest.listening = False
    machine.guest.wait_until_up()
    assert present(machine) == [0, 3] and online(machine) == "0-1"  # a kernel that starts counts on its own
    machine.control.execute("stop")
    machine.control.execute("cpu_del", {"cpu-index": 3})
    machine.control.execute("system_reset")
    assert machine.control.wait_for_event("DEVICE_DELETED", 20)["data"]["device"] == "vcpu3"
    machine.control.execute("cont")
    machine.guest.listening = False
    machine.guest.wait_until_up()
    assert present(machine) == [0] and online(machine) == "0"


def test_a_saved_guest_has_its_processors(vmm, guest_machine, tmp_path):
    """A gap in their numbers is carried over; more can come afterwards."""
    machine = guest_machine
    add(machine, 1)
    add(machine, 2)
    remove(machine, 1)
    file = str(tmp_path / "guest.save")
    machine.control.execute("stop")
    machine.control.execute("save", {"path": file}, timeout=SAVE_SECONDS)
    kind = machine.command[machine.command.index("--machine") + 1]
    again = vmm(machine=kind, cpus=2, kernel=None, initrd=None, serial=None, extra=["--restore", file])
    again.guest.listening = True
    assert present(again) == [0, 2]
    if again.control.execute("query-status")["status"] == "paused":
        again.control.execute("cont")
    assert online(again) == "0,2"
    add(again, 1)
    assert online(again) == "0-2"
    remove(again, 2)
    assert present(again) == [0, 1]
    assert again.guest.run(NOTHING_BROKEN) == ""
    again.kill()
    machine.control.execute("cont")
    remove(machine, 2)
