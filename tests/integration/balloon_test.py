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
    """A guest of 512 MiB with a balloon."""
    disk = f"path={base_image},read_only=on"
    made = shared_vmm(memory=512, agent=True, kernel=places.KERNEL_ELF, append="ro", disks=[disk], extra=["--balloon", "on"])
    made.guest.wait_until_up()
    return made


def use(machine, mebibytes):
    """The guest fills memory, and keeps it until free()."""
    machine.guest.run(f"mount -o remount,size=90% /dev/shm; tr '\\0' x </dev/zero | head -c {mebibytes * MIB} >/dev/shm/used")


def free(machine):
    """The guest gives that memory back to its kernel."""
    machine.guest.run("rm /dev/shm/used")


def test_reported_free_memory_goes_back_to_the_host(machine):
    """Without any balloon: what a guest frees, the host soon has."""
    use(machine, 256)
    filled = resident(machine)
    assert filled > 256 * MIB
    free(machine)
    until(lambda: resident(machine) < filled - 200 * MIB, "the monitor shrinks", 3 * places.COMMAND_SECONDS)


def test_inflating_takes_memory_and_deflating_gives_it(machine):
    """The guest sees less, the host has more; afterwards the guest can fill all of it again."""
    control = machine.control
    total = int(machine.guest.run("grep MemTotal /proc/meminfo").split()[1])
    use(machine, 200)
    full = resident(machine)
    free(machine)
    control.execute("balloon", {"value": 192 * MIB})
    until(lambda: control.execute("query-balloon")["actual"] <= 192 * MIB, "the balloon has its size", 3 * places.COMMAND_SECONDS)
    until(lambda: resident(machine) < full - 150 * MIB, "the monitor shrinks", 3 * places.COMMAND_SECONDS)
    assert resident(machine) < 230 * MIB
    control.wait_for_event("BALLOON_CHANGE")
    shrunk = int(machine.guest.run("grep MemTotal /proc/meminfo").split()[1])
    available = int(machine.guest.run("grep MemAvailable /proc/meminfo").split()[1])
    assert shrunk <= total - 300 * 1024 or available < 192 * 1024
    control.execute("balloon", {"value": 512 * MIB})
    until(lambda: control.execute("query-balloon")["actual"] == 512 * MIB, "the balloon is empty", 3 * places.COMMAND_SECONDS)
    use(machine, 320)
    assert resident(machine) > 320 * MIB
    checksum = machine.guest.run("sha256sum </dev/shm/used").split()[0]
    assert machine.guest.run(f"tr '\\0' x </dev/zero | head -c {320 * MIB} | sha256sum").split()[0] == checksum
    free(machine)
    machine.power_down()


def test_the_guest_takes_memory_back_when_it_runs_out(vmm, base_image):
    """deflate_on_oom: a balloon that leaves too little is not the end of the guest."""
    disk = f"path={base_image},read_only=on"
    guest = vmm(memory=256, agent=True, kernel=places.KERNEL_ELF, append="ro", disks=[disk], extra=["--balloon", "on"])
    guest.guest.wait_until_up()
    control = guest.control
    # Once the size is reached the guest's driver rests: it does not fight for what the shortage took from it.
    control.execute("balloon", {"value": 160 * MIB})
    until(lambda: control.execute("query-balloon")["actual"] == 160 * MIB, "the balloon has its size", 3 * places.COMMAND_SECONDS)
    use(guest, 130)
    assert control.execute("query-balloon")["actual"] > 160 * MIB
    assert "Out of memory" not in guest.guest.run("dmesg")
