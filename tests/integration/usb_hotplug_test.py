"""USB devices that come and go while a Linux guest runs, at both controllers: by the monitor's commands, and by virsh."""
import pytest
from support import disks, hotplug, places
from support.control import ControlError
from support.desktop import NAMES
from support.evdev import ABS_X, ABS_Y, EV_ABS, SLOW, EventFiles
from support.viewer import Viewer

CONTROLLERS = {"xhci": "xhci_pci", "piix3-uhci": "uhci-hcd"}
NOTHING_BROKEN = "dmesg | grep -E 'BUG:|Oops|soft lockup|rcu: INFO|hung_task|nobody cared|HC died|host controller not responding' || true"


@pytest.fixture(scope="module", params=CONTROLLERS)
def machine(request, shared_vmm, base_image):
    """A guest with a screen and a USB controller at which there is nothing."""
    vmm = shared_vmm(
        name=f"usb-{request.param}",
        machine="pc",
        agent=True,
        kernel=places.PC_KERNEL,
        initrd=places.PC_INITRD,
        disks=[f"path={base_image},read_only=on,id=root"],
        append="ro",
        extra=("--video", "vga", "--usb", request.param),
    )
    vmm.guest.run(f"modprobe -a {CONTROLLERS[request.param]} usbhid hid-generic usb-storage sd_mod", timeout=SLOW)
    yield vmm
    if vmm.process.poll() is None:
        no_complaints(vmm)


def no_complaints(vmm):
    """Neither the guest's kernel nor the controller has any."""
    assert vmm.guest.run(NOTHING_BROKEN) == ""
    assert vmm.control.execute("query-stats")["devices"]["usb0"]["guest-mistakes"] == 0


def add(vmm, driver, name, **settings):
    """Plugs in what needs no descriptor."""
    vmm.control.execute("device_add", {"driver": driver, "id": name, **settings})


def has_input(kind):
    """A script that succeeds while the guest has such a device."""
    return f"grep -q '{NAMES[kind]}' /proc/bus/input/devices"


def test_a_tablet_comes_is_used_and_goes(machine):
    """The guest sees it come and go; viewers hear that the pointer is absolute, and is not any more."""
    guest = machine.guest
    viewer = Viewer(machine.control)
    viewer.wait_for_pointer(False)
    for round_number in range(2):
        add(machine, "usb-tablet", "pen", port=2)
        viewer.wait_for_pointer(True, SLOW)
        hotplug.wait_for(guest, has_input("tablet"), SLOW)
        files = EventFiles(guest, {"tablet": NAMES["tablet"]})
        files.find()
        files.watch()
        viewer.place(100 + round_number, 200 + round_number)
        assert files.events("tablet", 2) == [(EV_ABS, ABS_X, 100 + round_number), (EV_ABS, ABS_Y, 200 + round_number)]
        hotplug.remove(machine, "pen")
        viewer.wait_for_pointer(False, SLOW)
        hotplug.wait_for(guest, f"! {has_input('tablet')}", SLOW)
    viewer.close()


def test_a_disk_comes_is_used_and_goes(machine, empty_disk):
    """What the guest wrote is in the image, which is free then; another at the same port works, too."""
    guest = machine.guest
    for number in range(3):
        image = empty_disk(2 + number, f"stick{number}")
        hotplug.add_disk(machine, "stick", image, driver="usb-storage", serial=f"STICK-{number}", port=1)
        assert hotplug.is_locked(image)
        hotplug.wait_for(guest, f"[ $(cat /sys/block/sda/size 2>/dev/null || echo 0) = {(2 + number) << 11} ]", SLOW)
        assert f"STICK-{number}" in guest.run("cat /sys/bus/usb/devices/*/serial")
        guest.run("dd if=/dev/urandom of=/dev/sda bs=64k count=4 oflag=direct 2>/dev/null; sync", timeout=SLOW)
        inside = guest.run("dd if=/dev/sda bs=64k count=4 iflag=direct 2>/dev/null | sha256sum", timeout=SLOW).split()[0]
        hotplug.remove(machine, "stick")
        assert not hotplug.is_locked(image)
        hotplug.wait_for(guest, "[ ! -e /sys/block/sda ]", SLOW)
        with open(image, "rb") as file:
            head = file.read(256 << 10)
        with open(f"{image}.head", "wb") as file:
            file.write(head)
        assert disks.sha256(f"{image}.head") == inside


def test_a_disk_goes_while_it_is_busy(machine, empty_disk):
    """Nothing that the guest was told is written is lost; the writer gets an error, and the guest lives."""
    guest = machine.guest
    image = empty_disk(4)
    hotplug.add_disk(machine, "busy", image, driver="usb-storage")
    hotplug.wait_for(guest, "[ -b /dev/sda ]", SLOW)
    # One block after the other, each told only when it is written. By a node of its own: when /dev/sda has gone, dd would make a file.
    script = ("i=0; while echo block $i | dd of=/run/disk bs=512 seek=$i conv=sync,notrunc oflag=direct 2>/dev/null; "
              "do echo $i > /run/written; i=$(((i + 1) % 8192)); done; echo over > /run/over")
    guest.run(f"rm -f /run/written /run/over; mknod /run/disk b $(tr : ' ' < /sys/block/sda/dev); ({script}) >/dev/null 2>&1 &")
    hotplug.wait_for(guest, "[ $(cat /run/written 2>/dev/null || echo 0) -ge 20 ]", SLOW)
    hotplug.remove(machine, "busy")
    hotplug.wait_for(guest, "[ -e /run/over ]", SLOW)
    hotplug.wait_for(guest, "[ ! -e /sys/block/sda ]", SLOW)
    written = int(guest.run("cat /run/written"))
    with open(image, "rb") as file:
        data = file.read()
    for number in range(written + 1):
        assert data[number * 512 :].startswith(f"block {number}\n".encode()), number


def test_what_cannot_be_is_refused(machine, vmm):
    """A port that is taken or not there, no port left, a device twice, one without an image, a guest without a controller."""
    add(machine, "usb-mouse", "one", port=1)
    for settings, message in (
        ({"id": "two", "port": 1}, "USB port 1 is asked for by"),
        ({"id": "two", "port": 9}, "there is no port 9"),
        ({"id": "one"}, "used twice"),
    ):
        with pytest.raises(ControlError, match=message):
            add(machine, "usb-keyboard", settings.pop("id"), **settings)
    with pytest.raises(ControlError, match="has no descriptor"):
        add(machine, "usb-storage", "none", path="/nonexistent")
    with pytest.raises(ControlError, match="from the start"):
        add(machine, "usb-storage", "cd", device="cdrom")
    ids = []
    with pytest.raises(ControlError, match="finds no free port"):
        for number in range(16):
            add(machine, "usb-mouse", f"m{number}")
            ids.append(f"m{number}")
    assert ids
    for device in ["one", *ids]:
        hotplug.remove(machine, device)
    with pytest.raises(ControlError, match="there is no device"):
        machine.control.execute("device_del", {"id": "one"})
    bare = vmm(agent=False)
    with pytest.raises(ControlError, match="no USB controller"):
        add(bare, "usb-tablet", "pen")


def test_a_save_has_the_devices_that_are_there_then(machine, empty_disk, vmm, tmp_path):
    """The last test of its guest: it goes on in a new process with what came, and without what went."""
    image = empty_disk(4)
    add(machine, "usb-keyboard", "goes", port=2)
    hotplug.wait_for(machine.guest, has_input("keyboard"), SLOW)
    hotplug.remove(machine, "goes")
    hotplug.add_disk(machine, "stays", image, driver="usb-storage", port=1)
    hotplug.wait_for(machine.guest, "[ -b /dev/sda ]", SLOW)
    add(machine, "usb-tablet", "pen", port=2)
    hotplug.wait_for(machine.guest, has_input("tablet"), SLOW)
    no_complaints(machine)
    file = str(tmp_path / "guest.save")
    machine.control.execute("save", {"path": file, "quit": True}, timeout=SLOW)
    assert machine.wait_exit() == 0
    again = vmm(machine="pc", kernel=None, initrd=None, serial=None, extra=["--restore", file])
    again.guest.listening = True
    assert [disk["device"] for disk in again.control.execute("query-block")] == ["root", "stays"]
    again.guest.run("echo after | dd of=/dev/sda bs=512 conv=sync oflag=direct 2>/dev/null", timeout=SLOW)
    with open(image, "rb") as data:
        assert data.read(6) == b"after\n"
    hotplug.remove(again, "stays")
    hotplug.remove(again, "pen")
    hotplug.wait_for(again.guest, f"[ ! -e /sys/block/sda ] && ! {has_input('tablet')}", SLOW)
    add(again, "usb-keyboard", "comes")
    hotplug.wait_for(again.guest, has_input("keyboard"), SLOW)
