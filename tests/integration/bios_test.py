"""SeaBIOS: it boots from virtio and IDE disks and from a CD, and a Linux kernel that it started finds its machine whole."""
import os
import re
import shutil
import subprocess

from support import disks, places
from support.stream import loosely
from support.wait import until

GRUB_CD = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
BOOT_SECONDS = 2 * places.BOOT_SECONDS


def firmware(vmm, *options, serial="off", **more):
    """A pc that starts with a BIOS."""
    return vmm(
        machine="pc", memory=256, kernel=None, initrd=None, extra=("--firmware", f"bios,serial={serial}", *options), **more
    )


def test_the_boot_order_decides(vmm, tmp_path):
    """Of a virtio disk, an IDE disk and a CD the one that was asked for; the BIOS's log names it."""
    one = disks.boot_sector(f"{tmp_path}/one.img", "VIRTIO-BOOTS")
    two = disks.boot_sector(f"{tmp_path}/two.img", "IDE-BOOTS")
    for first, second, text in ((1, 2, "VIRTIO-BOOTS"), (2, 1, "IDE-BOOTS")):
        machine = firmware(
            vmm,
            "--debug-console",
            name=text,
            disks=[f"path={one},boot={first}", f"path={two},bus=ide,boot={second}"],
        )
        machine.wait_for_output(text, BOOT_SECONDS)
        log = machine.errors.tail(400)
        assert "found virtio-blk at" in log
        assert re.search(r"ata0-0: .*LODGE DISK", log)
        machine.kill()


def test_reset_starts_the_bios_again(vmm, tmp_path):
    """The shadowed BIOS is the one of the ROM again."""
    machine = firmware(vmm, disks=[f"path={disks.boot_sector(f'{tmp_path}/a.img', 'STARTED')},bus=ide"])
    for _ in range(3):
        machine.wait_for_output("STARTED", BOOT_SECONDS)
        machine.control.execute("system_reset")
    machine.wait_for_output("STARTED", BOOT_SECONDS)


def test_text_on_the_screen_does_not_leave_the_guest(vmm, tmp_path):
    """The VGA BIOS writes 4,096 bytes of a font and clears its screen; what is left are registers."""
    machine = firmware(vmm, "--video", "vga", disks=[f"path={disks.boot_sector(f'{tmp_path}/a.img', 'STARTED')},bus=ide"])
    machine.wait_for_output("STARTED", BOOT_SECONDS)
    exits = machine.control.execute("query-stats")["cpus"][0]["exits"]
    assert exits < 6000, exits


def test_nothing_to_boot_is_said(vmm):
    """On the serial port, when the BIOS's console is there."""
    machine = firmware(vmm, serial="on")
    machine.wait_for_output("No bootable device", BOOT_SECONDS)


def test_mistakes_are_named(vmm, tmp_path):
    """A file that is missing, and one that is no firmware."""
    noise = f"{tmp_path}/noise"
    with open(noise, "wb") as file:
        file.write(bytes(131072))
    for path, what in (("/nowhere", "No such file"), (noise, "not a BIOS image"), (__file__, "size")):
        machine = vmm(machine="pc", kernel=None, initrd=None, extra=("--firmware", f"bios,path={path}"))
        assert machine.wait_exit() == 1
        assert what in machine.errors.wait_end(places.EXIT_SECONDS)
        machine.kill()


def type_line(machine, text):
    """Keys for the BIOS, which keeps 15 of them: a few at a time, each few awaited on the screen."""
    for at in range(0, len(text), 8):
        machine.send(text[at : at + 8].encode())
        machine.wait_for_output(loosely(text[at : at + 8].rstrip()), BOOT_SECONDS)
    machine.send(b"\r")


def test_grub_on_a_cd_starts_linux_from_an_ide_disk(vmm, tmp_path, root_disk):
    """GRUB's menu on the serial port; the command that is typed there loads a kernel off the disk, and it comes up with all it needs."""
    tree = f"{tmp_path}/tree"
    os.mkdir(tree)
    for source, name in ((places.KERNEL, "vmlinuz"), (places.INITRD, "initrd")):
        shutil.copyfile(source, f"{tree}/{name}")
    with open(f"{tree}/go", "w") as file:
        file.write(f"linux (hd0)/vmlinuz {places.APPEND} lodge.agent=1\ninitrd (hd0)/initrd\nboot\n")
    boot = disks.empty(f"{tmp_path}/boot.img", 64)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext2", "-d", tree, boot], check=True, capture_output=True)
    machine = firmware(
        vmm, "--cdrom", f"{GRUB_CD},boot=1", serial="on", cpus=2, disks=[f"path={boot},bus=ide,boot=2", root_disk]
    )
    machine.wait_for_output(loosely("Memtest86+"), BOOT_SECONDS)
    machine.send(b"c")
    machine.wait_for_output(loosely("grub>"), BOOT_SECONDS)
    type_line(machine, "source (hd0)/go")
    machine.guest.wait_until_up(BOOT_SECONDS)
    log = machine.guest.run("dmesg")
    assert re.search(r"ACPI: RSDP 0x0+F[0-9A-F]{4}", log), log
    assert "ACPI Error" not in log
    assert "can't claim BAR" not in log
    assert machine.guest.run("cat /sys/class/dmi/id/sys_vendor").strip() == "Lodge"
    assert machine.guest.run("nproc").strip() == "2"
    machine.guest.run("modprobe -a ata_piix sd_mod && test -b /dev/sda && sha256sum /dev/sda")
    machine.power_down()


KEY_ESC = 1


def screen(machine):
    """What the screen shows: width, height, pixels of three bytes."""
    fd = os.memfd_create("screen")
    try:
        machine.control.execute("getfd", {"fdname": "screen"}, descriptors=[fd])
        machine.control.execute("screendump", {"fdname": "screen"})
        image = os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)
    kind, size, depth, pixels = image.split(b"\n", 3)
    width, height = map(int, size.split())
    assert (kind, depth, len(pixels)) == (b"P6", b"255", width * height * 3)
    os.makedirs(f"{places.TREE}/build/test-logs", exist_ok=True)
    with open(f"{places.TREE}/build/test-logs/screen.ppm", "wb") as file:  # for people to look at
        file.write(image)
    return width, height, pixels


def test_people_see_and_type(vmm):
    """The VGA BIOS shows text on the screen, and a key on the PS/2 keyboard opens the boot menu."""
    options = ("--firmware", "bios,menu=on,menu_wait_ms=60000", "--video", "vga", "--debug-console")
    machine = vmm(machine="pc", name="people", memory=256, kernel=None, initrd=None, extra=options)
    machine.errors.wait_for("Press ESC for boot menu", BOOT_SECONDS)
    width, height, pixels = screen(machine)
    assert (width, height) == (720, 400)
    colours = {pixels[at : at + 3] for at in range(0, len(pixels), 3)}
    assert colours == {b"\0\0\0", b"\xaa\xaa\xaa"}  # light grey on black, as a PC begins
    lit = pixels.count(b"\xaa\xaa\xaa")
    machine.control.execute("send-key", {"keys": str(KEY_ESC), "hold-ms": 50})
    machine.errors.wait_for("Select boot device", BOOT_SECONDS)
    until(lambda: screen(machine)[2].count(b"\xaa\xaa\xaa") > lit, "the menu is on the screen")
