"""Disks and NICs that come and go while a Linux guest runs, on both machines."""
import os

import pytest
from support import disks, hotplug, network
from support.control import ControlError
from support.wait import until

MACHINES = ("microvm", "pc")
ROUNDS = 20
NOTHING_BROKEN = "dmesg | grep -E 'BUG:|Oops|soft lockup|rcu: INFO|hung_task|nobody cared' || true"


@pytest.fixture(scope="module", params=MACHINES)
def guest_machine(request, shared_vmm, base_image):
    """A guest that the tests of this file share, its root disk read-only."""
    machine = shared_vmm(
        name=f"hotplug-{request.param}",
        machine=request.param,
        cpus=2,
        agent=True,
        disks=[f"path={base_image},read_only=on,id=root"],
        append="ro",
    )
    machine.guest.run("modprobe -a virtio_net 2>/dev/null; ls /sys/bus/pci/slots")
    yield machine
    assert machine.guest.run(NOTHING_BROKEN) == ""


def disks_of(machine):
    """Ids of the disks that the monitor knows."""
    return [disk["device"] for disk in machine.control.execute("query-block")]


def test_a_disk_comes_is_used_and_goes(guest_machine, empty_disk):
    """The guest sees a new disk with its serial number, reads and writes it, and sees it go; the image is free then."""
    image = empty_disk(16)
    hotplug.add_disk(guest_machine, "data", image, serial="PLUGGED", cache="writeback")
    assert disks_of(guest_machine) == ["root", "data"]
    assert hotplug.is_locked(image)
    guest = guest_machine.guest
    hotplug.wait_for(guest, "[ -b /dev/vdb ]")
    assert guest.run("cat /sys/block/vdb/serial; echo") == "PLUGGED\n"
    assert guest.run("blockdev --getsize64 /dev/vdb") == f"{16 << 20}\n"
    guest.run("dd if=/dev/urandom of=/dev/vdb bs=1M count=16 oflag=direct 2>/dev/null && sync")
    inside = guest.sha256("/dev/vdb")
    hotplug.remove(guest_machine, "data")
    assert guest.try_run("[ -e /sys/block/vdb ]")[0] == 1
    assert disks_of(guest_machine) == ["root"]
    assert not hotplug.is_locked(image)
    assert disks.sha256(image) == inside


def test_a_disk_comes_and_goes_at_one_slot_many_times(guest_machine, empty_disk):
    """Each time it works from the first byte to the last."""
    image = empty_disk(1)
    guest = guest_machine.guest
    for number in range(ROUNDS):
        hotplug.add_disk(guest_machine, "again", image, slot=9)
        hotplug.wait_for(guest, "[ -b /dev/vdb ]")
        guest.run(f"echo round {number} | dd of=/dev/vdb bs=512 conv=sync oflag=direct 2>/dev/null")
        assert guest.run("dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | head -n 1") == f"round {number}\n"
        assert guest.run("basename $(readlink -f /sys/block/vdb/../../..)").startswith("0000:00:09.0")
        hotplug.remove(guest_machine, "again")
        assert guest.try_run("[ -e /sys/block/vdb ]")[0] == 1


def test_a_disk_goes_while_it_is_busy(guest_machine, empty_disk):
    """Requests in flight come to an end; the guest lives."""
    guest = guest_machine.guest
    for _ in range(3):
        hotplug.add_disk(guest_machine, "busy", empty_disk(64), queues=2)
        hotplug.wait_for(guest, "[ -b /dev/vdb ]")
        load = "--rw=randrw --bs=4k --time_based --runtime=60 --iodepth=16 --ioengine=io_uring --direct=1 --numjobs=2"
        guest.run(f"fio --name=load --filename=/dev/vdb {load} >/dev/null 2>&1 &")
        hotplug.wait_for(guest, "[ $(xargs < /sys/block/vdb/stat | cut -d ' ' -f 1) -gt 200 ]")
        hotplug.remove(guest_machine, "busy")
        hotplug.wait_for(guest, "! pidof fio")
        assert guest.run("echo alive") == "alive\n"


def test_a_nic_comes_is_used_and_goes(guest_machine, tap):
    """The guest reaches the host through a new NIC, and finds it gone afterwards; then the same again."""
    guest = guest_machine.guest
    for _ in range(3):
        hotplug.add_net(guest_machine, "lan", tap, mac="52:54:00:ab:cd:ef")
        told = guest_machine.control.execute("query-net")
        assert [(nic["device"], nic["interface"], nic["mac"]) for nic in told] == [("lan", tap.name, "52:54:00:ab:cd:ef")]
        hotplug.wait_for(guest, "[ -e /sys/class/net/eth0 ]")
        assert guest.run("cat /sys/class/net/eth0/address") == "52:54:00:ab:cd:ef\n"
        guest.run(f"ip addr add {tap.guest_address}/24 dev eth0 && ip link set eth0 up")
        assert " 0% packet loss" in guest.run(f"ping -c 3 -i 0.2 {tap.gateway}")
        hotplug.remove(guest_machine, "lan")
        assert guest.try_run("[ -e /sys/class/net/eth0 ]")[0] == 1
        assert guest_machine.control.execute("query-net") == []


def test_what_cannot_be_added_is_refused_by_name(guest_machine, empty_disk):
    """Ids, slots and descriptors; and nothing is left of an attempt."""
    image = empty_disk(1)

    def refused(**settings):
        with pytest.raises(ControlError) as error:
            hotplug.add_disk(guest_machine, **{"device": "bad", "path": image, **settings})
        return error.value.description

    assert "id 'root' is used twice" in refused(device="root")
    slot = guest_machine.control.execute("query-block")[0]["slot"]
    assert f"PCI slot {slot} is asked for by disk 'root' and by disk 'bad'" in refused(slot=slot)
    assert "cannot be" not in refused(bus="ide") and "bus=virtio" in refused(bus="ide")
    with pytest.raises(ControlError, match="opens no paths"):
        guest_machine.control.execute("device_add", {"driver": "virtio-blk", "id": "bad", "path": image})
    with pytest.raises(ControlError, match="does not allow writing"):
        descriptor = os.open(image, os.O_RDONLY)
        name = hotplug.pass_descriptor(guest_machine, descriptor)
        os.close(descriptor)
        guest_machine.control.execute("device_add", {"driver": "virtio-blk", "id": "bad", "fd": name})
    hotplug.add_disk(guest_machine, "first", image)
    assert "is in use by another process" in refused()
    hotplug.remove(guest_machine, "first")
    with pytest.raises(ControlError, match="starts a program"):
        guest_machine.control.execute("device_add", {"driver": "virtio-net", "id": "bad", "kind": "user"})
    with pytest.raises(ControlError, match="there is no device 'nobody'"):
        guest_machine.control.execute("device_del", {"id": "nobody"})
    with pytest.raises(ControlError, match="is part of the machine"):
        guest_machine.control.execute("device_del", {"id": "power0"})
    assert disks_of(guest_machine) == ["root"]


def test_all_slots_can_be_filled(guest_machine, tmp_path):
    """As many disks as the bus has slots, then one more is refused; all go again."""
    free = 31 - 1 - (1 if "pc" in guest_machine.command else 0)
    image = tmp_path / "shared.img"
    image.write_bytes(bytes(1 << 20))
    for number in range(free):
        hotplug.add_disk(guest_machine, f"many{number}", image, shareable=True, queues=1)
    with pytest.raises(ControlError, match="finds no free PCI slot"):
        hotplug.add_disk(guest_machine, "toomany", image, shareable=True)
    hotplug.wait_for(guest_machine.guest, f"[ $(ls -d /sys/block/vd* | wc -l) = {free + 1} ]")
    for number in range(free):
        guest_machine.control.execute("device_del", {"id": f"many{number}"})
    gone = {guest_machine.control.wait_for_event("DEVICE_DELETED")["data"]["device"] for _ in range(free)}
    assert gone == {f"many{number}" for number in range(free)}
    assert disks_of(guest_machine) == ["root"]


def test_a_guest_lets_go_of_a_disk_by_itself(guest_machine, empty_disk):
    """Power written into the slot of the guest's own accord: the device goes; the event tells."""
    hotplug.add_disk(guest_machine, "loose", empty_disk(1), slot=11)
    hotplug.wait_for(guest_machine.guest, "[ -b /dev/vdb ]")
    guest_machine.guest.run("echo 0 > /sys/bus/pci/slots/11/power")
    assert guest_machine.control.wait_for_event("DEVICE_DELETED")["data"]["device"] == "loose"
    assert disks_of(guest_machine) == ["root"]


@pytest.mark.parametrize("machine", MACHINES)
def test_devices_that_came_are_saved_and_restored(vmm, root_disk, empty_disk, tap, tmp_path, machine):
    """A guest with a disk and a NIC more and the first disk of its own less goes on from a file, and lets go of them there."""
    file = str(tmp_path / "guest.save")
    first, image = empty_disk(4, "first"), empty_disk(8, "second")
    running = vmm(machine=machine, agent=True, disks=[root_disk, f"path={first},id=early"])
    running.guest.run("modprobe -a virtio_net 2>/dev/null; echo kept > /run/word")
    hotplug.remove(running, "early")
    hotplug.add_disk(running, "late", image, slot=20)
    hotplug.add_net(running, "lan", tap, slot=21, tap=tap.name)
    hotplug.wait_for(running.guest, "[ -b /dev/vdb ] && [ -e /sys/class/net/eth0 ]")
    running.guest.run(f"ip addr add {tap.guest_address}/24 dev eth0 && ip link set eth0 up && ping -c 1 {tap.gateway}")
    running.guest.run("echo before | dd of=/dev/vdb bs=512 conv=sync oflag=direct")
    running.control.execute("save", {"path": file, "quit": True}, timeout=120)
    assert running.wait_exit() == 0
    again = vmm(kernel=None, initrd=None, serial=None, network=tap, machine=machine, extra=["--restore", file])
    again.guest.listening = True
    assert disks_of(again) == ["disk0", "late"]
    assert again.guest.run("dd if=/dev/vdb bs=512 count=1 iflag=direct 2>/dev/null | head -n 1") == "before\n"
    assert " 0% packet loss" in again.guest.run(f"ping -c 3 -i 0.2 {tap.gateway}")
    hotplug.remove(again, "late")
    hotplug.remove(again, "lan")
    assert again.guest.try_run("[ -e /sys/block/vdb ] || [ -e /sys/class/net/eth0 ]")[0] == 1
    hotplug.add_disk(again, "later", first)
    hotplug.wait_for(again.guest, "[ -b /dev/vdb ]")
    again.power_down()


@pytest.mark.parametrize("machine", MACHINES)
def test_a_reset_keeps_what_came_and_lets_go_of_what_shall_go(vmm, root_disk, empty_disk, machine):
    """After a reset the plugged disk is there; one whose removal the guest had not followed is gone."""
    running = vmm(machine=machine, agent=True, disks=[root_disk])
    running.guest.wait_until_up()
    hotplug.add_disk(running, "stays", empty_disk(1, "stays"), serial="STAYS")
    hotplug.add_disk(running, "goes", empty_disk(1, "goes"), serial="GOES")
    hotplug.wait_for(running.guest, "[ -b /dev/vdc ]")
    running.control.execute("stop")
    running.control.execute("device_del", {"id": "goes"})
    running.control.execute("system_reset")
    assert running.control.wait_for_event("DEVICE_DELETED")["data"]["device"] == "goes"
    running.guest.listening = False
    running.control.execute("cont")
    running.guest.wait_until_up()
    assert running.guest.run("cat /sys/block/vd?/serial; echo") == "STAYS\n"
    until(lambda: disks_of(running) == ["disk0", "stays"], "only the disks that stay")
    running.power_down()


def test_vhost_nic_comes_and_goes(guest_machine):
    """With descriptors of /dev/vhost-net the kernel serves the queues."""
    with_tap = network.Tap()
    try:
        vhost = os.open("/dev/vhost-net", os.O_RDWR)
        name = hotplug.pass_descriptor(guest_machine, vhost)
        os.close(vhost)
        hotplug.add_net(guest_machine, "fast", with_tap, vhost=True, vhost_fds=[name])
        guest = guest_machine.guest
        hotplug.wait_for(guest, "[ -e /sys/class/net/eth0 ]")
        guest.run(f"ip addr add {with_tap.guest_address}/24 dev eth0 && ip link set eth0 up")
        assert " 0% packet loss" in guest.run(f"ping -c 3 -i 0.2 {with_tap.gateway}")
        hotplug.remove(guest_machine, "fast")
        assert guest.run("echo alive") == "alive\n"
    finally:
        with_tap.close()
