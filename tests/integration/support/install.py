"""A PC that is installed from a CD (tests/sandbox/install-cd): its starts, and what is looked at after each."""
from . import places, uefi
from .stream import loosely
from .wait import until

CD = f"{places.GUEST}/install.iso"
DISK_MIB = 512
BOOT_SECONDS = 3 * places.BOOT_SECONDS
CHECK_SECONDS = 12 * places.COMMAND_SECONDS
DRIVERS = {"e1000": "e1000", "rtl8139": "8139cp", "virtio": "virtio_net"}


def wait_for_end(machine):
    """The power button."""
    machine.power_down(places.COMMAND_SECONDS)


class PC:
    """One empty disk, one firmware (with its NVRAM), and a network that the cards are put on."""

    def __init__(self, vmm, firmware, folder, tap, disk, dma):
        self.vmm = vmm
        self.firmware = firmware
        self.tap = tap
        self.disk = disk
        self.dma = dma
        self.starts = 0
        self.vars = uefi.new_vars(f"{folder}/vars.fd") if firmware == "uefi" else None
        self.append = f"console=ttyS0 quiet panic=-1 mitigations=off nokaslr {tap.append} lodge.agent=1" + ("" if dma else " libata.dma=0")

    def start(self, model, cd=False):
        """A monitor with this card. With the CD, that is tried first; without it UEFI is told no order, which is in its NVRAM."""
        options = ["--firmware", "bios" if self.firmware == "bios" else f"uefi,vars={self.vars}"]
        order = cd or self.firmware == "bios"
        if cd:
            options += ["--cdrom", f"{CD},id=cd0,boot=1"]
        self.starts += 1
        machine = self.vmm(
            machine="pc",
            name=f"{self.firmware}-{self.starts}-{model}",
            kernel=None,
            initrd=None,
            memory=512,
            disks=[f"path={self.disk},bus=ide" + (",boot=2" if order else "")],
            nets=[f"{self.tap.option},model={model}" if model != "virtio" else self.tap.option],
            network=self.tap,
            extra=options,
        )
        assert machine.control.execute("query-status")["running"]  # connected, so that no event is missed
        return machine

    def choose_in_menu(self, machine, key):
        """The CD's menu, on the serial port; the installer listens in the end."""
        machine.wait_for_output(loosely("without DMA"), BOOT_SECONDS)
        machine.send(key.encode())
        machine.guest.wait_until_up(BOOT_SECONDS)

    def has_modes(self, machine, drives):
        """So many drives use DMA, or none does."""
        modes = machine.guest.run("cd /sys/class/ata_device; cat dev*/dma_mode")
        assert modes.count("DMA") == (drives if self.dma else 0) and "UNKNOWN" not in modes, modes

    def is_ejected(self, machine):
        """The guest has opened the tray: so the monitor says."""
        event = machine.control.wait_for_event("DEVICE_TRAY_MOVED", places.COMMAND_SECONDS)["data"]
        assert (event["device"], event["tray-open"]) == ("cd0", True)
        drive = next(one for one in machine.control.execute("query-block") if one["device"] == "cd0")
        assert drive["tray-open"] and not drive["locked"], drive

    def reboot(self, machine, command):
        """The guest starts itself again; the monitor goes on."""
        machine.guest.start(f"sync; {command}")
        machine.guest.listening = False

    def comes_up_from_disk(self, machine):
        """GRUB of the disk, Linux, the system's own agent; by UEFI through the entry in NVRAM, there being no other way in."""
        machine.wait_for_output("GRUB of the disk", BOOT_SECONDS)
        machine.guest.wait_until_up(BOOT_SECONDS)
        guest = machine.guest
        assert "Debian GNU/Linux 12" in guest.run("cat /etc/os-release")
        root = "/dev/sda1" if self.firmware == "bios" else "/dev/sda2"
        assert guest.run(f"grep -c '^{root} / ext4 rw' /proc/mounts").strip() == "1"
        assert guest.try_run("test -d /sys/firmware/efi")[0] == (1 if self.firmware == "bios" else 0)
        if self.firmware == "uefi":
            guest.run("modprobe -a vfat nls_cp437 nls_ascii efivarfs; mount -t efivarfs efivarfs /sys/firmware/efi/efivars; mount /boot/efi")
            said = guest.run("efibootmgr -v")
            current = next(line for line in said.splitlines() if line.startswith("BootCurrent:")).split()[1]
            entry = next(line for line in said.splitlines() if line.startswith(f"Boot{current}"))
            assert "debian" in entry and "grubx64.efi" in entry.lower(), said
            assert guest.run("ls /boot/efi/EFI").split() == ["debian"]

    def has_network(self, machine, model):
        """The card's own driver; the gateway answers; the host reaches the guest."""
        guest = machine.guest
        driver = guest.run("readlink /sys/class/net/eth0/device/driver").strip()
        assert driver.endswith(f"/{DRIVERS[model]}"), driver
        ping = f"ping -c 1 -W 1 {self.tap.gateway}"
        until(lambda: guest.try_run(ping)[0] == 0, "the gateway answers", places.COMMAND_SECONDS)
        assert " 0% packet loss" in guest.run(f"ping -c 2 -i 0.2 -s 1400 {self.tap.gateway}")
        assert " 0% packet loss" in self.tap.run("ping", "-c", "2", "-i", "0.2", self.tap.guest_address)

    def is_whole(self, machine):
        """Every file that was installed has its checksum."""
        machine.guest.run("cd / && sha256sum --quiet -c /var/lib/lodge.sha256 && sha256sum --quiet -c /var/lib/lodge-boot.sha256", CHECK_SECONDS)
        log = machine.guest.run("dmesg")
        for trouble in ("exception Emask", "EXT4-fs error", "I/O error", "Tx Unit Hang"):
            assert trouble not in log, log
