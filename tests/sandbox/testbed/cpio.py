"""Writes initramfs archives (cpio, "newc" format)."""
import os
import stat


class Archive:
    """An archive under construction. Everything in it belongs to root and carries no time stamp, so equal input gives equal bytes."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0
        self.folders = set()

    def entry(self, name, mode, content=b"", device=(0, 0)):
        """Adds one entry; the folders above it are added when missing."""
        parent = os.path.dirname(name)
        if parent and parent not in self.folders:
            self.folder(parent)
        self._raw(name, mode, content, device)

    def _raw(self, name, mode, content, device):
        self.inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self.data += content
        self._pad()

    def _pad(self):
        self.data += bytes(-len(self.data) % 4)

    def folder(self, name):
        """Adds a folder and those above it."""
        if name and name not in self.folders:
            self.folders.add(name)
            self.entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode=0o644):
        """Adds a regular file."""
        self.entry(name, stat.S_IFREG | mode, content)

    def copy(self, name, source, mode=0o644):
        """Adds a regular file with the content of a file of ours."""
        with open(source, "rb") as file:
            self.file(name, file.read(), mode)

    def link(self, name, target):
        """Adds a symbolic link."""
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor):
        """Adds a device node, for what is opened before devtmpfs is mounted."""
        self.entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def ended(self):
        """Ends the archive; its bytes."""
        self._raw("TRAILER!!!", 0, b"", (0, 0))
        return self.data

    def write(self, path):
        """Ends the archive and writes it."""
        with open(path + ".new", "wb") as file:
            file.write(self.ended())
        os.rename(path + ".new", path)
