"""The nested test bed: a Debian machine with working KVM under QEMU's emulator (see ../README.md)."""
