"""Debian kernels boot in machines of several shapes, see what they were given, and end as they should."""
import base64
import re

import pytest
from support import places
from support.places import BOOT_SECONDS


def numbers(guest, pattern):
    """The contents of small files that hold numbers, by name."""
    lines = guest.run(f"for file in {pattern}; do echo $file $(cat $file); done").splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


def flags(guest):
    """The processor's features as the guest's kernel lists them."""
    return set(re.search(r"^flags\s*: (.*)$", guest.run("cat /proc/cpuinfo"), re.MULTILINE).group(1).split())


def total_kib(guest):
    """RAM that the kernel has."""
    return int(guest.run("grep MemTotal /proc/meminfo").split()[1])


def test_small_microvm_by_pvh_with_a_feature_less(vmm, base_image):
    """One vCPU, 64 MiB, the uncompressed kernel; host-model without one of its features."""
    disk = f"path={base_image},read_only=on"
    # Debian's kernel leaves 18 of 64 MiB, and 9 of them would go to the files of tracefs; this lockdown has none.
    append = "ro lockdown=confidentiality"
    machine = vmm(
        memory=64, agent=True, kernel=places.KERNEL_ELF, disks=[disk], append=append, extra=["--cpu", "host-model,-rdrand"]
    )
    guest = machine.guest
    assert guest.run("nproc").strip() == "1"
    assert 20 << 10 < total_kib(guest) < 64 << 10
    with open("/proc/cpuinfo") as file:
        assert " rdrand" in file.read(), "the host has nothing to take away"
    assert "rdrand" not in flags(guest) and "sse2" in flags(guest)
    assert guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip() == "kvm-clock"
    assert guest.run("ls /sys/firmware/acpi/tables/FACP").strip()
    machine.power_down()
    assert "LODGE-POWEROFF" in machine.serial.text


def test_pc_with_two_numa_cells(vmm, root_disk):
    """Two vCPUs, 512 MiB, the compressed kernel on the machine with i440FX; each cell has a CPU and its memory."""
    config = '{"memory": {"cells": [{"memory_mib": 192, "cpus": [0], "distances": [10, 21]}, '
    config += '{"memory_mib": 320, "cpus": [1], "distances": [21, 10]}]}}'
    path = f"{root_disk}.json"
    with open(path, "w") as file:
        file.write(config)
    machine = vmm(machine="pc", cpus=2, memory=512, agent=True, disks=[root_disk], extra=["--config", path, "--panic"])
    guest = machine.guest
    machine.wait_for_output(r"^LODGE-INIT$")
    assert guest.run("nproc").strip() == "2"
    assert "vda" in guest.run("lsblk --noheadings --output NAME")
    cells = numbers(guest, "/sys/devices/system/node/node*/cpulist /sys/devices/system/node/node*/distance")
    assert [" ".join(value) for value in cells.values()] == ["0", "1", "10 21", "21 10"], cells
    sizes = re.findall(r"MemTotal:\s+(\d+)", guest.run("cat /sys/devices/system/node/node*/meminfo"))
    assert 192 >> 1 < int(sizes[0]) >> 10 <= 192 < int(sizes[1]) >> 10 <= 320, sizes
    assert guest.run("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip() == "kvm-clock"
    assert guest.run("cat /sys/bus/acpi/devices/QEMU0001:00/status").strip() == "15"
    assert machine.control.execute("query-status")["status"] == "running"
    machine.power_down()
    assert "LODGE-POWEROFF" in machine.serial.text


def test_four_processors_and_memory_above_4_gib(vmm, base_image):
    """One socket of two cores with two threads each, a named CPU model, 5 GiB: all of it there and usable."""
    disk = f"path={base_image},read_only=on"
    machine = vmm(
        cpus="4,sockets=1,cores=2,threads=2",
        memory=5120,
        agent=True,
        kernel=places.KERNEL_ELF,
        disks=[disk],
        append="ro",
        extra=["--cpu", "Nehalem"],
    )
    guest = machine.guest
    assert guest.run("nproc").strip() == "4"
    topology = dict(line.strip().split(":", 1) for line in guest.run("lscpu").splitlines() if ":" in line)
    shape = {name: topology[name].strip() for name in ("Thread(s) per core", "Core(s) per socket", "Socket(s)")}
    assert shape == {"Thread(s) per core": "2", "Core(s) per socket": "2", "Socket(s)": "1"}
    assert "Nehalem" in guest.run("grep -m 1 'model name' /proc/cpuinfo")
    assert "sse4_2" in flags(guest) and "avx2" not in flags(guest)
    assert total_kib(guest) > 4800 << 10
    above = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM", guest.run("cat /proc/iomem"), re.MULTILINE)
    assert sum(int(end, 16) - int(start, 16) + 1 for start, end in above) > 5000 << 20
    assert any(int(start, 16) >= 1 << 32 for start, _ in above), above
    # The kernel hands out memory from the top: this lies above 4 GiB.
    sums = guest.run(
        """mkdir -p /tmp/high; head -c $((160 << 20)) /dev/zero >/tmp/high/filler; head -c $((16 << 20)) /dev/urandom >/tmp/high/data
        echo 1 >/proc/sys/vm/drop_caches
        cp /tmp/high/data /tmp/high/copy; sha256sum </tmp/high/data; sha256sum </tmp/high/copy
        grep -A 100 'zone   Normal' /proc/zoneinfo | grep -m 1 nr_shmem || true""",
        timeout=3 * places.COMMAND_SECONDS,
    ).splitlines()
    assert sums[0] == sums[1]
    free = int(re.search(r"zone +Normal\s+pages free +(\d+)", guest.run("cat /proc/zoneinfo")).group(1))
    present = int(re.search(r"zone +Normal[\s\S]*?present +(\d+)", guest.run("cat /proc/zoneinfo")).group(1))
    assert present - free > 128 << 8, "nothing of it was put above 4 GiB"
    machine.power_down()


def script(text):
    """Kernel words that make the initramfs run a script."""
    return f"lodge.mode=initramfs lodge.run={base64.b64encode(text.encode()).decode()}"


def test_runs_a_script_from_the_initramfs_and_powers_off(vmm):
    """No disk at all: the initramfs does what the command line says; the guest's own power-off ends the process."""
    machine = vmm(append=script("echo one-$((1 + 1))\n"))
    machine.wait_for_output(r"^one-2$")
    machine.wait_for_output(r"^LODGE-EXIT 0$")
    assert machine.wait_exit(BOOT_SECONDS) == 0


@pytest.mark.parametrize("kind", ["microvm", "pc"])
def test_reboot_and_panic_start_the_guest_again(vmm, kind):
    """on_reboot=restart: the guest's own reboot and its panic (panic=-1) boot it anew in the same process."""
    ways = "reboot -f" if kind == "microvm" else "echo c >/proc/sysrq-trigger"
    machine = vmm(machine=kind, kernel=places.KERNEL_ELF, append="lodge.mode=initramfs")
    machine.wait_for_output(r"^LODGE-INIT$")
    control = machine.control
    machine.wait_for_output(r"^/ # ")
    machine.send(f"{ways}\n".encode())
    control.wait_for_event("RESET", places.COMMAND_SECONDS)
    machine.wait_for_output(r"^LODGE-INIT$")
    assert control.execute("query-status")["running"]
    machine.wait_for_output(r"^/ # ")
    machine.send(b"poweroff -f\n")
    assert machine.wait_exit() == 0


def test_triple_fault_with_on_reboot_destroy(vmm):
    """A triple fault is a reset; on_reboot=destroy makes it the end, and the registers are in the log."""
    machine = vmm(
        kernel=places.KERNEL_ELF, append="reboot=t " + script("reboot -f\n"), extra=["--on-reboot", "destroy", "--paused"]
    )
    control = machine.control
    control.execute("cont")
    assert control.wait_for_event("SHUTDOWN", BOOT_SECONDS)["data"]["reason"] == "guest-reset"
    assert machine.wait_exit() == 0
    assert re.search(r"triple fault: .*rip", machine.errors.wait_end(places.EXIT_SECONDS))
