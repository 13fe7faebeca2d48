"""virtio-blk over every cache mode, with what the host sees compared. One guest serves all tests; the last one switches it off."""
import os
import subprocess

import pytest
from support import disks, fio, places
from support.control import ControlError
from support.vmm import Vmm
from support.wait import until

MIB = 1 << 20
SIZE = 8  # MiB of a data disk
MODES = ["none", "directsync", "writethrough", "writeback", "unsafe"]


class Machine:
    """The guest with its disks: device(NAME) is what the guest calls it, image(NAME) its file on the host."""

    def __init__(self, start, folder, root):
        self.direct = disks.DirectFolder(folder, 128)
        self.small = disks.DirectFolder(self.direct.path, 32)
        self.images = {"root": root}
        self.options = [root]
        for mode in MODES:
            place = self.direct.path if mode in ("none", "directsync") else folder
            more = "queues=2" if mode == "none" else "discard=unmap,queues=1" if mode == "directsync" else "queues=1"
            self.add(mode, place, SIZE, f"cache={mode},serial=serial-{mode},{more}")
        self.add("fixed", folder, 4, "read_only=on")
        for policy in ("report", "ignore"):
            self.add(policy, self.small.path, 4, f"cache=none,write_errors={policy}")
        self.add("full", self.small.path, 12, "cache=none")
        with open(self.images["fixed"], "r+b") as file:
            file.write(bytes(range(256)) * 16)
        self.vmm = start(cpus=2, agent=True, kernel=places.KERNEL_ELF, disks=self.options)
        self.guest = self.vmm.guest
        self.guest.wait_until_up()

    def add(self, name, folder, mebibytes, options):
        """One disk more."""
        self.images[name] = disks.empty(f"{folder}/{name}.img", mebibytes)
        self.options.append(f"path={self.images[name]},{options}")

    def number(self, name):
        """Position of a disk."""
        return list(self.images).index(name)

    def device(self, name):
        """The guest's name for it."""
        return f"/dev/vd{'abcdefghijkl'[self.number(name)]}"

    def system(self, name, file):
        """A value that the guest's kernel shows of it."""
        return self.guest.run(f"cat /sys/block/{self.device(name)[5:]}/{file}; echo").strip()

    def allocated(self, name):
        """Bytes that the image occupies on the host."""
        os.sync()
        return os.stat(self.images[name]).st_blocks * 512

    def close(self):
        """Unmounts what was mounted."""
        self.small.close()
        self.direct.close()


@pytest.fixture(scope="module")
def machine(shared_folder, shared_root, shared_vmm):
    """The guest that all tests here use."""
    made = Machine(shared_vmm, shared_folder, shared_root)
    yield made
    made.vmm.kill()
    made.close()


def counter(machine, name, word):
    """A counter of a disk."""
    return machine.vmm.control.execute("query-stats")["devices"][f"disk{machine.number(name)}"][word]


@pytest.fixture(scope="module")
def filled(machine):
    """fio has written to the disks of all cache modes at the same time, and verified what it read back."""
    fio.write_and_verify(machine.guest, *map(machine.device, MODES), mebibytes=SIZE // 2)
    return machine


@pytest.mark.parametrize("mode", MODES)
def test_what_is_written_is_what_the_host_sees(filled, mode):
    """The image's checksum on the host is the device's in the guest; the guest knows whether it must flush."""
    assert fio.device_sha256(filled.guest, filled.device(mode)) == disks.sha256(filled.images[mode])
    expected = "write through" if mode in ("directsync", "writethrough") else "write back"
    assert filled.system(mode, "queue/write_cache") == expected


def test_names_sizes_and_queues(machine):
    """Serial numbers, capacity and the number of queues are what was asked for."""
    for mode in MODES:
        assert machine.system(mode, "serial") == f"serial-{mode}"
        assert int(machine.system(mode, "size")) * 512 == SIZE * MIB
    assert machine.guest.run(f"ls /sys/block/{machine.device('none')[5:]}/mq").split() == ["0", "1"]
    assert machine.guest.run(f"ls /sys/block/{machine.device('unsafe')[5:]}/mq").split() == ["0"]


def test_both_queues_carry_requests(machine):
    """A job on each processor uses the queue of its own."""
    device = machine.device("none")
    jobs = [f"taskset -c {cpu} dd if=/dev/zero of={device} bs=64k count=8 seek={8 * cpu} oflag=direct" for cpu in (0, 1)]
    machine.guest.run(f"({jobs[0]}) & {jobs[1]}; wait")
    assert fio.device_sha256(machine.guest, device) == disks.sha256(machine.images["none"])


def test_a_read_only_disk_refuses_writes(machine):
    """The guest knows, and cannot change it even by force."""
    before = disks.sha256(machine.images["fixed"])
    assert machine.system("fixed", "ro") == "1"
    status, _ = machine.guest.try_run(f"dd if=/dev/zero of={machine.device('fixed')} bs=4k count=1 oflag=direct")
    assert status != 0
    assert fio.device_sha256(machine.guest, machine.device("fixed")) == before == disks.sha256(machine.images["fixed"])


def test_discard_gives_room_back_to_the_host(machine):
    """The host's allocation shrinks, and the range reads as zeros."""
    device = machine.device("directsync")
    machine.guest.run(f"tr '\\0' x </dev/zero | dd of={device} bs=1M count={SIZE} iflag=fullblock oflag=direct")
    full = machine.allocated("directsync")
    assert full >= SIZE * MIB
    machine.guest.run(f"blkdiscard -o {2 * MIB} -l {4 * MIB} {device}")
    until(lambda: machine.allocated("directsync") <= full - 4 * MIB, "the image shrinks")
    with open(machine.images["directsync"], "rb") as file:
        data = file.read()
    assert data == b"x" * (2 * MIB) + bytes(4 * MIB) + b"x" * (2 * MIB)


def test_write_zeroes(machine):
    """mke2fs clears its tables by write-zeroes; the file system on what was garbage is sound."""
    device = machine.device("unsafe")
    machine.guest.run(f"tr '\\0' x </dev/zero | dd of={device} bs=1M count={SIZE} iflag=fullblock oflag=direct")
    before = counter(machine, "unsafe", "discard-ops")  # write-zeroes count there, too
    machine.guest.run(f"mkfs.ext4 -q -F -E nodiscard,lazy_itable_init=0,lazy_journal_init=0 {device} && e2fsck -fn {device}")
    assert counter(machine, "unsafe", "discard-ops") > before
    machine.guest.run("sync")
    subprocess.run(["e2fsck", "-fn", machine.images["unsafe"]], check=True, capture_output=True)


def test_resize_is_seen_by_the_guest(machine):
    """block_resize: the running guest has the room at once, and can use it."""
    machine.vmm.control.execute("block_resize", {"device": f"disk{machine.number('writeback')}", "size": 2 * SIZE * MIB})
    until(lambda: int(machine.system("writeback", "size")) * 512 == 2 * SIZE * MIB, "the guest sees the new size")
    device = machine.device("writeback")
    machine.guest.run(f"echo grown | dd of={device} bs=512 seek={2 * SIZE * MIB // 512 - 1} conv=sync oflag=direct")
    assert os.path.getsize(machine.images["writeback"]) == 2 * SIZE * MIB
    with open(machine.images["writeback"], "rb") as file:
        file.seek(-512, os.SEEK_END)
        assert file.read(6) == b"grown\n"
    with pytest.raises(ControlError):
        machine.vmm.control.execute("block_resize", {"device": f"disk{machine.number('fixed')}", "size": MIB})


@pytest.mark.parametrize("name", ["root", "none", "writeback"])
def test_an_image_in_use_is_refused_to_a_second_monitor(machine, tmp_path, name):
    """The image lock."""
    second = Vmm(str(tmp_path), disks=[machine.images[name]])
    try:
        assert second.wait_exit() == 1
        assert "in use by another process" in second.errors.wait_end(places.EXIT_SECONDS)
    finally:
        second.kill()


def block_error(machine, name):
    """The next BLOCK_IO_ERROR of this disk."""
    while True:
        event = machine.vmm.control.wait_for_event("BLOCK_IO_ERROR", places.COMMAND_SECONDS)["data"]
        if event["device"] == f"disk{machine.number(name)}":
            return event


@pytest.fixture(scope="module")
def ballast(machine):
    """Fills the small file system to its last block."""
    path = f"{machine.small.path}/ballast"
    with open(path, "wb", buffering=0) as file:
        for size in (MIB, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                os.fsync(file.fileno())
    os.sync()
    return path


def test_disk_full_reported_to_the_guest(machine, ballast):
    """write_errors=report: the guest gets an error and goes on."""
    assert os.path.getsize(ballast) > 0
    status, _ = machine.guest.try_run(f"dd if=/dev/zero of={machine.device('report')} bs=1M count=2 oflag=direct")
    assert status != 0
    event = block_error(machine, "report")
    assert event["action"] == "report" and event["operation"] == "write" and event["nospace"] in (True, "true")
    assert machine.vmm.control.execute("query-status")["status"] == "running"


def test_disk_full_ignored(machine, ballast):
    """write_errors=ignore: the guest is told that all is well."""
    assert os.path.getsize(ballast) > 0
    machine.guest.run(f"dd if=/dev/zero of={machine.device('ignore')} bs=1M count=2 oflag=direct")
    assert block_error(machine, "ignore")["action"] == "ignore"


def test_disk_full_pauses_the_guest_and_nothing_is_lost(machine, ballast):
    """The default for writes: pause, make room, resume; every request is done in the end."""
    os.truncate(ballast, os.path.getsize(ballast) - 2 * MIB)
    control = machine.vmm.control
    device = machine.device("full")
    number = machine.guest.start(f"fio --name=full --filename={device} --rw=randwrite --bsrange=4k-64k --size=8M {fio.VERIFY}")
    assert block_error(machine, "full")["action"] == "stop"
    control.wait_for_event("STOP")
    assert control.execute("query-status") == {"status": "io-error", "running": False}
    # No room yet: it pauses again.
    control.execute("cont")
    control.wait_for_event("RESUME")
    control.wait_for_event("STOP", places.COMMAND_SECONDS)
    assert control.execute("query-status")["status"] == "io-error"
    os.unlink(ballast)
    control.execute("cont")
    status, output = machine.guest.result(number, 180)
    assert status == 0, output
    assert fio.device_sha256(machine.guest, device) == disks.sha256(machine.images["full"])


def test_after_power_off_the_host_has_what_the_guest_wrote(machine):
    """The last test of this guest: every image is as the guest left it."""
    names = [*MODES, "fixed", "full"]
    machine.guest.run(f"head -c 3000000 /dev/urandom >{machine.device('unsafe')}")
    seen = {name: fio.device_sha256(machine.guest, machine.device(name)) for name in names}
    machine.vmm.power_down()
    assert {name: disks.sha256(machine.images[name]) for name in names} == seen
