"""IDE disks and CD drives under a Linux guest with ata_piix: by DMA and by PIO, what the host sees compared."""
import os
import random
import subprocess

import pytest
from support import disks, places
from support.control import ControlError
from support.wait import until

MIB = 1 << 20
SIZE = 8  # MiB of a disk: by PIO each sector is an exit and an interrupt in the test bed


def make_cd(path, mebibytes):
    """An image of bytes that are always the same, and another for each size."""
    with open(path, "wb") as file:
        file.write(random.Random(mebibytes).randbytes(mebibytes * MIB))
    return path


@pytest.fixture(scope="module", params=["dma", "pio"])
def machine(request, shared_folder, base_image, shared_vmm):
    """A guest with two IDE disks and a CD drive, whose driver uses DMA or does not."""
    folder = f"{shared_folder}/{request.param}"
    os.mkdir(folder)
    root = disks.copy_sparse(base_image, f"{folder}/root.ext4")
    images = {name: disks.empty(f"{folder}/{name}.img", SIZE) for name in ("first", "second")}
    images["cd"] = make_cd(f"{folder}/cd.iso", 3)
    images["other"] = make_cd(f"{folder}/other.iso", 2)
    vmm = shared_vmm(
        machine="pc",
        agent=True,
        name=request.param,
        disks=[
            root,
            f"path={images['first']},bus=ide,serial=FIRST-1",
            f"path={images['second']},bus=ide",
        ],
        extra=("--cdrom", f"{images['cd']},id=cd0"),
    )
    vmm.images = images
    vmm.devices = {}
    vmm.dma = request.param == "dma"
    vmm.guest.run(f"modprobe libata dma={7 if vmm.dma else 0} && modprobe -a ata_piix sd_mod sr_mod")
    until(lambda: vmm.guest.try_run("test -b /dev/sda -a -b /dev/sdb -a -b /dev/sr0")[0] == 0, "the drives are there")
    # The guest names disks in the order in which it gets to them.
    for target, name in enumerate(("first", "second")):
        vmm.devices[name] = vmm.guest.run(f"ls /sys/bus/scsi/devices/0:0:{target}:0/block").strip()
    yield vmm
    vmm.kill()


def test_drives_are_what_was_asked_for(machine):
    """Sizes, serial number, and the mode that the driver chose."""
    first = f"/sys/block/{machine.devices['first']}"
    assert int(machine.guest.run(f"cat {first}/size")) * 512 == SIZE * MIB
    log = machine.guest.run("dmesg")
    modes = machine.guest.run("cd /sys/class/ata_device; cat dev1.0/dma_mode dev1.1/dma_mode dev2.0/dma_mode")
    assert modes.count("XFER_MW_DMA_2") == (3 if machine.dma else 0), modes
    assert "LODGE" in machine.guest.run(f"cat {first}/device/model /sys/block/sr0/device/model")
    assert "exception" not in log


def test_what_is_written_is_what_the_host_sees(machine):
    """Both disks of a cable at the same time; checksums on both sides."""
    count = 96 if machine.dma else 32
    exits = machine.control.execute("query-stats")["cpus"][0]["exits"]
    write = f"dd if=/dev/urandom of=/dev/sd$d bs=64k count={count} oflag=direct 2>/dev/null"
    machine.guest.run(f"for d in a b; do ({write}; sync) & done; wait", timeout=4 * places.COMMAND_SECONDS)
    exits = machine.control.execute("query-stats")["cpus"][0]["exits"] - exits
    assert exits < 400 * 2 * count, exits  # 64 KiB are 16384 words, each of which would be one
    for name, device in machine.devices.items():
        machine.guest.run(f"blockdev --flushbufs /dev/{device}")
        assert machine.guest.sha256(f"/dev/{device}") == disks.sha256(machine.images[name])
    assert "exception" not in machine.guest.run("dmesg")


def test_small_and_odd_requests(machine):
    """Sectors here and there, read back past the guest's cache."""
    first = f"/dev/{machine.devices['first']}"
    machine.guest.run(
        f"for at in 0 1 7 63 4095 16383; do echo sector $at | dd of={first} bs=512 seek=$at conv=sync,notrunc oflag=direct"
        " 2>/dev/null || exit 1; done"
    )
    with open(machine.images["first"], "rb") as file:
        for at in (0, 1, 7, 63, 4095, 16383):
            file.seek(at * 512)
            assert file.read(10).startswith(f"sector {at}".encode()[:10])
    read = f"dd if={first} bs=512 skip=$at count=1 iflag=direct 2>/dev/null"
    out = machine.guest.run(f"for at in 0 4095 16383; do {read} | head -n 1; done")
    assert out.split("\n")[:3] == ["sector 0", "sector 4095", "sector 16383"]


def test_a_file_system_is_sound(machine):
    """ext4 on the second disk, checked by both sides."""
    second = f"/dev/{machine.devices['second']}"
    machine.guest.run(
        f"mke2fs -q -F -t ext4 {second} && mkdir -p /mnt/ide && mount {second} /mnt/ide && cp /bin/busybox /mnt/ide/ &&"
        f" cmp /bin/busybox /mnt/ide/busybox && umount /mnt/ide && e2fsck -fn {second}",
        timeout=4 * places.COMMAND_SECONDS,
    )
    machine.guest.run(f"sync; blockdev --flushbufs {second}")
    subprocess.run(["e2fsck", "-fn", machine.images["second"]], check=True, capture_output=True)


def test_the_cd_is_read(machine):
    """Its checksum in the guest and on the host."""
    assert int(machine.guest.run("cat /sys/block/sr0/size")) * 512 == 3 * MIB
    assert machine.guest.sha256("/dev/sr0") == disks.sha256(machine.images["cd"])


def change(vmm, name, **more):
    """Puts an image into the drive."""
    fd = os.open(vmm.images[name], os.O_RDONLY)
    try:
        vmm.control.execute("getfd", {"fdname": "medium"}, descriptors=[fd])
    finally:
        os.close(fd)
    vmm.control.execute("change-medium", {"id": "cd0", "fd": "medium", "path": vmm.images[name], **more})


def drive(vmm):
    """What the monitor says of the CD drive."""
    return next(one for one in vmm.control.execute("query-block") if one["device"] == "cd0")


def test_the_cd_is_changed_while_the_guest_runs(machine):
    """The guest notices, and reads the other one; then the drive is empty, and has a CD again."""
    change(machine, "other")
    assert machine.guest.sha256("/dev/sr0") == disks.sha256(machine.images["other"])
    machine.control.execute("eject", {"id": "cd0"})
    assert drive(machine)["size"] == 0
    assert machine.guest.try_run("dd if=/dev/sr0 of=/dev/null bs=2048 count=1")[0] != 0
    change(machine, "cd")
    assert machine.guest.sha256("/dev/sr0") == disks.sha256(machine.images["cd"])


def test_a_locked_tray_stays_closed_unless_forced(machine):
    """A mounted (or open) CD locks the tray."""
    machine.guest.run("(exec 3</dev/sr0; sleep 1000) & echo $! >/tmp/holder")
    until(lambda: drive(machine)["locked"], "the tray is locked")
    with pytest.raises(ControlError, match="locked"):
        machine.control.execute("eject", {"id": "cd0"})
    machine.control.execute("eject", {"id": "cd0", "force": True})
    machine.guest.run("kill $(cat /tmp/holder); wait")
    change(machine, "cd")


def test_the_guest_ejects(machine):
    """The event comes, and the tray is open."""
    machine.guest.run("eject /dev/sr0")
    event = machine.control.wait_for_event("DEVICE_TRAY_MOVED", places.COMMAND_SECONDS)["data"]
    assert event["device"] == "cd0"
    assert drive(machine)["tray-open"]
    change(machine, "cd")
    assert not drive(machine)["tray-open"]


def test_the_guest_goes_on_after_a_save(machine, shared_folder):
    """Saved while it writes; what it wrote is whole afterwards."""
    guest = machine.guest
    first = f"/dev/{machine.devices['first']}"
    count = 512 if machine.dma else 64
    number = guest.start(f"dd if=/dev/urandom of={first} bs=4k count={count} oflag=direct 2>/dev/null; sha256sum {first}")
    machine.control.execute("save", {"path": f"{shared_folder}/{machine.dma}.save"}, timeout=4 * places.COMMAND_SECONDS)
    status, output = guest.result(number, timeout=4 * places.COMMAND_SECONDS)
    assert status == 0
    assert output.split()[0] == disks.sha256(machine.images["first"])
