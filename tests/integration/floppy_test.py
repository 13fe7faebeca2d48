"""The floppy controller: GRUB starts from a floppy disk, and Linux's driver reads, writes, formats and changes disks."""
import os
import random

import pytest
from support import disks, places
from support.control import ControlError
from support.stream import loosely
from support.wait import until

GRUB_FLOPPY = "/usr/lib/grub-rescue/grub-rescue-floppy.img"
BOOT_SECONDS = 2 * places.BOOT_SECONDS
SIZE = 1440 * 1024


def make_disk(path, seed):
    """A disk of 1.44 MB whose bytes are always the same for a seed."""
    with open(path, "wb") as file:
        file.write(random.Random(seed).randbytes(SIZE))
    return path


def test_grub_starts_from_a_floppy_disk(vmm, tmp_path):
    """Its prompt on the serial port; the image is smaller than a disk, and its tail is empty."""
    disk = disks.copy_sparse(GRUB_FLOPPY, f"{tmp_path}/grub.img")
    machine = vmm(
        machine="pc", memory=128, kernel=None, initrd=None, extra=("--firmware", "bios,serial=on", "--floppy", f"{disk},boot=1")
    )
    machine.wait_for_output(f"{loosely('Memtest86+')}|{loosely('grub>')}", BOOT_SECONDS)


@pytest.fixture(scope="module")
def machine(shared_folder, base_image, shared_vmm):
    """A guest with a disk in the first drive, a protected one in the second."""
    images = {name: make_disk(f"{shared_folder}/{name}.img", name) for name in ("a", "b", "other")}
    vmm = shared_vmm(
        machine="pc",
        agent=True,
        kernel=places.PC_KERNEL,
        initrd=places.PC_INITRD,
        disks=[disks.copy_sparse(base_image, f"{shared_folder}/floppy-root.ext4")],
        extra=("--floppy", f"{images['a']},id=fda", "--floppy", f"{images['b']},id=fdb,read_only=on"),
    )
    vmm.images = images
    vmm.guest.run("modprobe floppy", timeout=2 * places.COMMAND_SECONDS)
    until(lambda: vmm.guest.try_run("test -b /dev/fd0 -a -b /dev/fd1")[0] == 0, "the drives are there")
    yield vmm
    vmm.kill()


def test_disks_are_read(machine):
    """Both drives, as a whole."""
    assert "82078" in machine.guest.run("dmesg | grep FDC")
    for device, name in (("fd0", "a"), ("fd1", "b")):
        assert machine.guest.sha256(f"/dev/{device}") == disks.sha256(machine.images[name])


def test_a_disk_is_written(machine):
    """What the guest writes is what the host sees, once the guest's write is over; a protected disk stays as it was."""
    guest = machine.guest
    guest.run("dd if=/dev/urandom of=/tmp/noise bs=512 count=100 2>/dev/null")
    guest.run("dd if=/tmp/noise of=/dev/fd0 bs=512 seek=777 oflag=direct 2>/dev/null", timeout=2 * places.COMMAND_SECONDS)
    with open(machine.images["a"], "rb") as file:
        file.seek(777 * 512)
        wrote = file.read(51200)
    with open(f"{machine.folder}/noise", "wb") as file:
        file.write(wrote)
    assert guest.sha256("/tmp/noise") == disks.sha256(f"{machine.folder}/noise")
    before = disks.sha256(machine.images["b"])
    assert guest.try_run("dd if=/tmp/noise of=/dev/fd1 bs=512 count=1 2>/dev/null")[0] != 0
    assert disks.sha256(machine.images["b"]) == before


def test_a_file_system_is_made_and_used(machine):
    """mke2fs, a file, and a check of it all."""
    machine.guest.run(
        "mke2fs -q -F -t ext2 /dev/fd0 && mkdir -p /mnt/fd && mount -t ext4 /dev/fd0 /mnt/fd && cp /etc/passwd /mnt/fd/ &&"
        " umount /mnt/fd && e2fsck -fn /dev/fd0",
        timeout=4 * places.COMMAND_SECONDS,
    )


def test_a_track_is_formatted(machine):
    """By the driver's own command: a side of a track is full of the filler, its neighbours are as before."""
    track, head = 5, 1
    with open(machine.images["a"], "rb") as file:
        before = file.read()
    machine.guest.run(f"fdformat /dev/fd0 {track} {head}", timeout=2 * places.COMMAND_SECONDS)
    with open(machine.images["a"], "rb") as file:
        after = file.read()
    start, end = ((track * 2 + head) * 18 * 512, (track * 2 + head + 1) * 18 * 512)
    assert after[start:end] == b"\xf6" * (18 * 512)
    assert after[:start] == before[:start] and after[end:] == before[end:]


def change(vmm, drive, name):
    """Puts a disk into a drive."""
    fd = os.open(vmm.images[name], os.O_RDWR)
    try:
        vmm.control.execute("getfd", {"fdname": "medium"}, descriptors=[fd])
    finally:
        os.close(fd)
    vmm.control.execute("change-medium", {"id": drive, "fd": "medium", "path": vmm.images[name]})


def test_disks_are_changed(machine, tmp_path):
    """The guest notices; an empty drive gives errors; what is no floppy disk is refused and changes nothing."""
    machine.control.execute("eject", {"id": "fdb"})
    assert machine.guest.try_run("dd if=/dev/fd1 of=/dev/null bs=512 count=1 2>/dev/null", timeout=2 * places.COMMAND_SECONDS)[0] != 0
    change(machine, "fdb", "other")
    assert machine.guest.sha256("/dev/fd1") == disks.sha256(machine.images["other"])
    machine.images["huge"] = disks.empty(f"{tmp_path}/huge.img", 4)
    with pytest.raises(ControlError, match="no floppy disk"):
        change(machine, "fdb", "huge")
    assert machine.guest.sha256("/dev/fd1") == disks.sha256(machine.images["other"])


def test_a_save_in_mid_transfer_loses_nothing(machine, shared_folder):
    """Saved while the guest reads; it goes on, here and where it is restored."""
    guest = machine.guest
    number = guest.start("dd if=/dev/fd1 bs=512 iflag=direct 2>/dev/null | sha256sum")
    machine.control.execute("save", {"path": f"{shared_folder}/floppy.save"}, timeout=4 * places.COMMAND_SECONDS)
    status, output = guest.result(number, timeout=4 * places.COMMAND_SECONDS)
    assert status == 0 and output.split()[0] == disks.sha256(machine.images["other"])


def test_a_machine_without_a_drive_has_no_ports(vmm, root_disk):
    """Neither the controller nor its DMA answers."""
    machine = vmm(machine="pc", agent=True, kernel=places.PC_KERNEL, initrd=places.PC_INITRD, disks=[root_disk])
    ports = machine.guest.run("for port in 0 129 1012; do dd if=/dev/port bs=1 skip=$port count=1 2>/dev/null | od -An -tx1; done")
    assert ports.split() == ["ff", "ff", "ff"]
