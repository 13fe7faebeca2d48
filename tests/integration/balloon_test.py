"""The balloon, and memory that the guest reports as free: the host gets it back."""
import pytest
from support import places
from support.wait import until

MIB = 1 << 20


def resident(machine):
    """What the monitor occupies on the host."""
    return machine.resident_bytes()


@pytest.fixture(scope="module")
def machine(shared_vmm, base_image):
    """A guest of 256 MiB with a balloon."""
    disk = f"path={base_image},read_only=on"
    made = shared_vmm(memory=256, agent=True, kernel=places.KERNEL_ELF, append="ro", disks=[disk], extra=["--balloon", "on"])
    made.guest.wait_until_up()
    return made


def use(machine, mebibytes):
    """The guest fills memory, and keeps it until free()."""
    machine.guest.run(
        f"mount -o remount,size=90% /dev/shm; head -c {mebibytes * MIB} /dev/zero >/dev/shm/used", 3 * places.COMMAND_SECONDS
    )


def free(machine):
    """The guest gives that memory back to its kernel."""
    machine.guest.run("rm /dev/shm/used")


def meminfo(machine, name):
    """A line of the guest's /proc/meminfo, in bytes."""
    return int(machine.guest.run(f"grep {name}: /proc/meminfo").split()[1]) * 1024


def test_reported_free_memory_goes_back_to_the_host(machine):
    """Without any balloon: what a guest frees, the host soon has."""
    use(machine, 128)
    filled = resident(machine)
    assert filled > 128 * MIB
    free(machine)
    until(lambda: resident(machine) < filled - 100 * MIB, "the monitor shrinks", 3 * places.COMMAND_SECONDS)


def test_inflating_takes_memory_and_deflating_gives_it(machine):
    """The guest sees less, the host has more; afterwards the guest can fill all of it again. What it keeps stays as it is."""
    control = machine.control
    total, available = meminfo(machine, "MemTotal"), meminfo(machine, "MemAvailable")
    sample = machine.guest.run(f"head -c {4 * MIB} /dev/urandom >/dev/shm/sample; sha256sum </dev/shm/sample")
    use(machine, 100)
    full = resident(machine)
    free(machine)
    control.execute("balloon", {"value": 128 * MIB})
    until(lambda: control.execute("query-balloon")["actual"] <= 128 * MIB, "the balloon has its size", 3 * places.COMMAND_SECONDS)
    until(lambda: resident(machine) < full - 70 * MIB, "the monitor shrinks", 3 * places.COMMAND_SECONDS)
    assert resident(machine) < 140 * MIB
    control.wait_for_event("BALLOON_CHANGE")
    assert meminfo(machine, "MemTotal") < total - 100 * MIB or meminfo(machine, "MemAvailable") < available - 100 * MIB
    control.execute("balloon", {"value": 256 * MIB})
    until(lambda: control.execute("query-balloon")["actual"] == 256 * MIB, "the balloon is empty", 3 * places.COMMAND_SECONDS)
    use(machine, 140)
    assert resident(machine) > 144 * MIB
    assert machine.guest.run("sha256sum </dev/shm/sample") == sample
    free(machine)
    machine.power_down()


def test_the_guest_takes_memory_back_when_it_runs_out(vmm, base_image):
    """deflate_on_oom: a balloon that leaves too little is not the end of the guest."""
    disk = f"path={base_image},read_only=on"
    guest = vmm(memory=192, agent=True, kernel=places.KERNEL_ELF, append="ro", disks=[disk], extra=["--balloon", "on"])
    guest.guest.wait_until_up()
    control = guest.control
    # Once the size is reached the guest's driver rests: it does not fight for what the shortage took from it.
    control.execute("balloon", {"value": 128 * MIB})
    until(lambda: control.execute("query-balloon")["actual"] == 128 * MIB, "the balloon has its size", 3 * places.COMMAND_SECONDS)
    use(guest, meminfo(guest, "MemAvailable") // MIB + 8)
    assert control.execute("query-balloon")["actual"] > 128 * MIB
    assert "Out of memory" not in guest.guest.run("dmesg")
