"""Disk images for tests."""
import hashlib
import os
import subprocess


def copy_sparse(source, target):
    """A copy that takes only the room of what is written in it."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, target], check=True)
    return target


def empty(path, mebibytes):
    """A new sparse image."""
    with open(path, "wb") as file:
        file.truncate(mebibytes << 20)
    return path


def sha256(path):
    """Checksum of an image."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def boot_sector(path, text):
    """A disk of 1 MiB whose boot sector prints `text` to the first serial port and halts."""
    code = bytes.fromhex("fa31c08ed8be207cac84c07406ba f803ee ebf5 f4 ebfd".replace(" ", ""))
    sector = code.ljust(0x20, b"\0") + text.encode() + b"\n\0"
    with open(path, "wb") as file:
        file.write(sector.ljust(510, b"\0") + b"\x55\xaa" + bytes((1 << 20) - 512))
    return path


class DirectFolder:
    """A mounted ext4 file system of its own: O_DIRECT works in it (on a tmpfs it does not), and it can be made full."""

    def __init__(self, folder, mebibytes):
        self.image = empty(f"{folder}/direct.img", mebibytes)
        self.path = f"{folder}/direct"
        os.mkdir(self.path)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True)
        subprocess.run(["modprobe", "-q", "loop"], check=False)  # it may be part of the kernel
        subprocess.run(["mount", "-o", "loop", self.image, self.path], check=True)

    def close(self):
        """Unmounts it."""
        subprocess.run(["umount", "-l", self.path], check=True)
        os.unlink(self.image)
