"""A whole PC from nothing: it boots the CD, installs Debian on an empty IDE disk, ejects the CD, starts from the disk, and has its network by each card."""
import pytest
from support import disks, places
from support.install import DISK_MIB, PC, wait_for_end

ONE_STEP = 20 * places.COMMAND_SECONDS  # without DMA


@pytest.mark.slow
@pytest.mark.parametrize("firmware, dma", [("bios", True), ("uefi", True), ("bios", False)], ids=["bios", "uefi", "bios-pio"])
def test_debian_is_installed_and_starts_from_the_disk(vmm, tmp_path, tap, firmware, dma):
    """All of it; a byte that was copied is looked at on the CD's side, after copying, and after each start. Without DMA, too."""
    disk = disks.empty(f"{tmp_path}/disk.img", DISK_MIB)
    pc = PC(vmm, firmware, str(tmp_path), tap, disk, dma)
    machine = pc.start("e1000", cd=True)
    pc.choose_in_menu(machine, "d" if dma else "p")
    for step in (f"partition {firmware}", "copy", f"boot {firmware} {pc.append}"):
        machine.guest.run(f"lodge-install {step}", timeout=ONE_STEP)
    pc.has_modes(machine, 2)
    machine.guest.run("lodge-install leave", timeout=ONE_STEP)
    pc.is_ejected(machine)
    pc.reboot(machine, "reboot -f")
    for model in ("e1000", "rtl8139", "virtio"):
        if model != "e1000":
            machine = pc.start(model)
        pc.comes_up_from_disk(machine)
        pc.has_modes(machine, 2 if model == "e1000" else 1)  # the CD drive was there for the first start
        pc.has_network(machine, model)
        if model != "rtl8139":
            pc.is_whole(machine)
        wait_for_end(machine)
