"""What UEFI starts with: files of variables, disks with an EFI system partition."""
import os
import shutil
import subprocess

from . import places

CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
BOOT_SECONDS = 2 * places.BOOT_SECONDS

MOUNT = "modprobe efivarfs; mount -t efivarfs efivarfs /sys/firmware/efi/efivars 2>/dev/null;"
VARIABLES = "/sys/firmware/efi/efivars/%s-6a2b8c7e-1f0d-4b53-9d7a-0c35e1a0f001"


def write(text, name="LodgeTest"):
    """A script that makes a variable: non-volatile, for boot services and the running system."""
    return rf"{MOUNT} printf '\007\000\000\000{text}' > {VARIABLES % name}"


def read(name="LodgeTest"):
    """A script that prints one."""
    return f"{MOUNT} tail -c +5 {VARIABLES % name} && echo"


def options(*keys):
    """Of a pc that starts with UEFI."""
    return ("--firmware", ",".join(("uefi", *keys)))


def new_vars(path):
    """A fresh file of variables."""
    return shutil.copyfile(VARS, path)


def system_partition(folder, name, append, menu=""):
    """A disk with one EFI system partition: GRUB, which starts the test guest's kernel at once. Its path."""
    image = f"{folder}/{name}.img"
    script = f"{folder}/{name}.cfg"
    with open(script, "w") as file:
        file.write(
            "serial --unit=0\nterminal_output serial\n"
            f"echo GRUB-{name}\n{menu}search --no-floppy --file --set=root /{name}.vmlinuz\n"
            f"linux /{name}.vmlinuz {places.APPEND} {append}\ninitrd /{name}.initrd\nboot\n"
        )
    loader = f"{folder}/{name}.efi"
    modules = "part_gpt part_msdos fat linux normal serial echo search test terminal"
    subprocess.run(
        ["grub-mkstandalone", "-O", "x86_64-efi", "-o", loader, f"--install-modules={modules}", f"--modules={modules}"]
        + ["--locales=", "--fonts=", "--themes=", f"boot/grub/grub.cfg={script}"],
        check=True,
        capture_output=True,
    )
    size = sum(os.stat(path).st_size for path in (loader, places.KERNEL, places.INITRD))
    with open(image, "wb") as file:
        file.truncate((size + (64 << 20)) & ~((1 << 20) - 1))
    start = 1 << 20
    table = "label: gpt\nstart=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n"
    subprocess.run(["sfdisk", "-q", image], input=table.encode(), check=True, capture_output=True)
    sectors = os.stat(image).st_size // 512 - 2048 - 34
    subprocess.run(
        ["mkfs.vfat", "-F", "32", "--offset", "2048", image, str(sectors // 2)], check=True, capture_output=True
    )
    place = f"{image}@@{start}"
    subprocess.run(["mmd", "-i", place, "::/EFI", "::/EFI/BOOT"], check=True)
    for source, target in (
        (loader, "EFI/BOOT/BOOTX64.EFI"),
        (places.KERNEL, f"{name}.vmlinuz"),
        (places.INITRD, f"{name}.initrd"),
    ):
        subprocess.run(["mcopy", "-i", place, source, f"::/{target}"], check=True)
    return image
