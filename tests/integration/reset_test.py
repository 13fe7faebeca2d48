"""Resets in the middle of I/O: of the machine, and of a device by its driver."""
import hashlib
import os

import pytest
from support import disks, fio, places
from support.wait import until

SIZE = 16  # MiB of the data disk; the first half is written once and must stay
LOAD = (
    "fio --name=load --filename={device} --rw=randwrite --bs=4k --offset=8M --size=8M --direct=1 --ioengine=libaio "
    "--iodepth=32 --time_based --runtime=600 >/dev/null 2>&1 &"
)


@pytest.fixture(scope="module")
def machine(shared_vmm, base_image, shared_folder):
    """A guest with a data disk that two queues serve."""
    data = disks.empty(f"{shared_folder}/data.img", SIZE)
    made = shared_vmm(
        cpus=2,
        agent=True,
        kernel=places.KERNEL_ELF,
        append="ro",
        disks=[f"path={base_image},read_only=on", f"path={data},queues=2,serial=data"],
    )
    made.data = data
    made.guest.run("dd if=/dev/urandom of=/dev/vdb bs=1M count=8 iflag=fullblock conv=fsync")
    made.kept = kept(made, "/dev/vdb")
    return made


def kept(machine, device):
    """Checksum of what must stay."""
    return machine.guest.run(f"dd if={device} bs=1M count=8 iflag=direct 2>/dev/null | sha256sum").split()[0]


def kept_on_host(machine):
    """The same as the host sees it."""
    with open(machine.data, "rb") as file:
        return hashlib.sha256(file.read(8 << 20)).hexdigest()


def written(machine):
    """Requests that the data disk has had."""
    return machine.control.execute("query-stats")["devices"]["disk1"]["write-ops"]


def under_load(machine, device="/dev/vdb"):
    """Starts writing to the second half, and waits until it is under way."""
    before = written(machine)
    machine.guest.run(LOAD.format(device=device))
    until(lambda: written(machine) > before + 100, "the load is under way")


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_machine_reset_in_the_middle_of_io(machine, turn):
    """system_reset under load: the guest boots again, and what was synced before is there."""
    assert turn
    under_load(machine)
    machine.control.execute("system_reset")
    machine.control.wait_for_event("RESET")
    machine.guest.listening = False
    machine.guest.wait_until_up()
    assert kept(machine, "/dev/vdb") == machine.kept == kept_on_host(machine)
    fio.write_and_verify(machine.guest, "/dev/vdb", mebibytes=2, extra="--offset=8M")


def test_device_reset_in_the_middle_of_io(machine):
    """The driver lets go of the disk and takes it again, several times, under load."""
    find = "for disk in /sys/block/vd*; do [ \"$(cat $disk/serial)\" = data ] && echo /dev/${disk##*/}; done; true"
    for _ in range(3):
        device = until(lambda: machine.guest.run(find).strip(), "the disk is there")
        under_load(machine, device)
        machine.guest.run(
            f"""device=$(basename $(readlink -f /sys/block/{os.path.basename(device)}/device))
            echo $device >/sys/bus/virtio/drivers/virtio_blk/unbind
            killall fio; wait
            echo $device >/sys/bus/virtio/drivers/virtio_blk/bind"""
        )
    device = until(lambda: machine.guest.run(find).strip(), "the disk is there")
    assert kept(machine, device) == machine.kept == kept_on_host(machine)
    fio.write_and_verify(machine.guest, device, mebibytes=2, extra="--offset=8M")
    seen = fio.device_sha256(machine.guest, device)
    machine.power_down()
    assert disks.sha256(machine.data) == seen
