"""Plugs disks and NICs in and out of a running guest, as a daemon does: with descriptors over the control socket."""
import contextlib
import ctypes
import fcntl
import itertools
import os
import struct

from .places import COMMAND_SECONDS
from .wait import until

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_names = itertools.count(1)


def pass_descriptor(vmm, descriptor):
    """Hands a descriptor over; returns the name it has there."""
    name = f"fd{next(_names)}"
    vmm.control.execute("getfd", {"fdname": name}, descriptors=[descriptor])
    return name


def add_disk(vmm, device, path, read_only=False, **settings):
    """Plugs an image in."""
    descriptor = os.open(path, os.O_RDONLY if read_only else os.O_RDWR)
    try:
        name = pass_descriptor(vmm, descriptor)
    finally:
        os.close(descriptor)
    settings = {"driver": "virtio-blk", "id": device, "path": str(path), "fd": name, "read_only": read_only, **settings}
    vmm.control.execute("device_add", settings)


@contextlib.contextmanager
def open_tap(tap):
    """A descriptor of the tap. It belongs to the namespace in which it is opened."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{tap.namespace}", os.O_RDONLY)
    setns(there)
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", tap.name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    finally:
        setns(here)
        os.close(here)
        os.close(there)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def setns(namespace):
    """setns(2), which Python has from 3.12 on."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def add_net(vmm, device, network, **settings):
    """Plugs a NIC on a network's tap in."""
    with open_tap(network) as descriptor:
        name = pass_descriptor(vmm, descriptor)
        vmm.control.execute("device_add", {"driver": "virtio-net", "id": device, "kind": "tap", "fds": [name], **settings})


def remove(vmm, device, timeout=COMMAND_SECONDS):
    """Asks for a device to go and waits until it has."""
    vmm.control.execute("device_del", {"id": device})
    event = vmm.control.wait_for_event("DEVICE_DELETED", timeout)
    assert event["data"]["device"] == device


def wait_for(guest, condition, timeout=COMMAND_SECONDS):
    """Waits until a script in the guest succeeds."""
    until(lambda: guest.try_run(condition)[0] == 0, f"in the guest: {condition}", timeout)


def is_locked(path):
    """Whether some process holds a lock on the image."""
    descriptor = os.open(path, os.O_RDWR)
    lock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = fcntl.fcntl(descriptor, 36, lock)  # F_OFD_GETLK
    os.close(descriptor)
    return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK
