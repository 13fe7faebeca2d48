"""Where guest memory comes from: each kind boots, and disk requests find the right bytes in it."""
import os

import pytest
from support import disks, fio, places

MIB = 256  # of guest memory


@pytest.fixture
def huge_pages():
    """Huge pages for one guest, given back afterwards."""
    path = "/proc/sys/vm/nr_hugepages"
    with open(path, "w") as file:
        file.write(str(MIB // 2))
    with open(path) as file:
        assert int(file.read()) == MIB // 2, "the test bed has no room for huge pages"
    yield
    with open(path, "w") as file:
        file.write("0")


def registered_buffers(machine):
    """How many pieces of memory the monitor's rings have registered, as the kernel tells."""
    folder = f"/proc/{machine.process.pid}"
    counts = []
    for number in os.listdir(f"{folder}/fd"):
        if os.readlink(f"{folder}/fd/{number}") == "anon_inode:[io_uring]":
            with open(f"{folder}/fdinfo/{number}") as file:
                counts += [int(line.split()[1]) for line in file if line.startswith("UserBufs:")]
    assert counts, "no ring found"
    return sum(counts)


def mapped(machine, name):
    """Whether a mapping of that name is in the monitor."""
    with open(f"/proc/{machine.process.pid}/maps") as file:
        return any(name in line for line in file)


def check(machine, image):
    """fio writes and verifies by direct I/O and through the guest's cache; the host sees the same."""
    fio.write_and_verify(machine.guest, "/dev/vdb", mebibytes=4)
    machine.guest.run("dd if=/dev/urandom of=/dev/vdb bs=1M seek=4 count=4 conv=fsync")
    assert fio.device_sha256(machine.guest, "/dev/vdb") == disks.sha256(image)


@pytest.mark.parametrize("backing", ["memfd", "anonymous"])
def test_memory_that_comes_when_it_is_used(vmm, base_image, empty_disk, backing):
    """Nothing is registered: the guest may give pages back."""
    image = empty_disk(8)
    machine = vmm(
        memory=f"{MIB},backing={backing}", agent=True, kernel=places.KERNEL_ELF, append="ro", disks=[f"path={base_image},read_only=on", image]
    )
    check(machine, image)
    assert registered_buffers(machine) == 0
    assert mapped(machine, "memfd:") == (backing == "memfd")
    assert machine.resident_bytes() < MIB << 20
    machine.power_down()


@pytest.mark.parametrize("backing", ["hugetlb", "anonymous,prealloc=on"])
def test_memory_that_is_there_from_the_start(vmm, base_image, empty_disk, backing, request):
    """The rings have it registered."""
    if backing == "hugetlb":
        request.getfixturevalue("huge_pages")
    image = empty_disk(8)
    machine = vmm(
        memory=f"{MIB},backing={backing}", agent=True, kernel=places.KERNEL_ELF, append="ro", disks=[f"path={base_image},read_only=on", image]
    )
    check(machine, image)
    assert registered_buffers(machine) > 0
    if backing != "hugetlb":
        assert machine.resident_bytes() > MIB << 20
    machine.power_down()
