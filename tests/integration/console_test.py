"""Consoles, serial ports and named channels: every byte arrives, both ways. One guest, whose console is virtio's hvc0."""
import hashlib
import os
import select
import socket
import tty

import pytest
from support import places
from support.guest import Guest
from support.stream import Stream
from support.wait import until

CHANNEL = "org.lodge.test"
BULK = 2 << 20  # bytes through a channel
SLOW = 1 << 15  # bytes through an emulated serial port: an exit for each


def connect(path):
    """A client of a unix socket that the monitor serves."""
    client = socket.socket(socket.AF_UNIX)
    until(lambda: os.path.exists(path), path)
    client.connect(path)
    return client


def receive(descriptor, size):
    """Exactly so many bytes."""
    data = bytearray()
    while len(data) < size:
        ready, _, _ = select.select([descriptor], [], [], places.COMMAND_SECONDS)
        assert ready, f"only {len(data)} of {size} bytes came"
        chunk = os.read(descriptor, min(1 << 16, size - len(data)))
        assert chunk, f"closed after {len(data)} of {size} bytes"
        data += chunk
    return bytes(data)


def send(descriptor, data):
    """All of the bytes."""
    while data:
        data = data[os.write(descriptor, data) :]


def noise(size):
    """Bytes of every value, the same each time, none of them regular."""
    return b"".join(hashlib.sha256(number.to_bytes(8, "little")).digest() for number in range(size // 32))


@pytest.fixture(scope="module")
def machine(shared_vmm, shared_folder, base_image):
    """The agent speaks over the virtio console; COM1 is a socket, COM2 a terminal; one channel."""
    paths = {name: f"{shared_folder}/{name}" for name in ("console", "serial", "channel")}
    made = shared_vmm(
        machine="pc",
        agent=True,
        kernel=places.KERNEL_ELF,
        disks=[f"path={base_image},read_only=on"],
        append="ro console=hvc0",
        serial=f"socket={paths['serial']}",
        extra=["--serial", "pty", "--console", f"socket={paths['console']}", "--channel", f"socket={paths['channel']},name={CHANNEL}"],
    )
    client = connect(paths["console"])
    made.guest = Guest(Stream(client.fileno(), "virtio console"), client.sendall)
    made.guest.wait_until_up()
    made.paths = paths
    yield made
    client.close()


def check_both_ways(machine, device, descriptor, size, prepare=""):
    """Noise into the guest and noise out of it."""
    data = noise(size)
    # Opening a serial port clears its FIFOs: nothing may come before.
    into = machine.guest.start(f"exec 3<{device}; {prepare}echo ready; head -c {size} <&3 | sha256sum")
    machine.guest.stream.wait_for(rf"^LODGE-BEGIN {into}$", places.COMMAND_SECONDS)
    begin = machine.guest.stream.consumed - len(f"LODGE-BEGIN {into}") - 1
    machine.guest.stream.wait_for(r"^ready$", places.COMMAND_SECONDS)
    machine.guest.stream.consumed = begin  # result() looks for it again
    send(descriptor, data)
    status, output = machine.guest.result(into, 3 * places.COMMAND_SECONDS)
    assert (status, output.split()[1]) == (0, hashlib.sha256(data).hexdigest())
    out = machine.guest.start(f"head -c {size} /dev/urandom >/tmp/noise; sha256sum </tmp/noise; cat /tmp/noise >{device}")
    data = receive(descriptor, size)
    status, output = machine.guest.result(out, 3 * places.COMMAND_SECONDS)
    assert (status, output.split()[0]) == (0, hashlib.sha256(data).hexdigest())


def test_the_console_carries_much_text(machine):
    """Many lines arrive whole and in order; the driver sends them in pieces of 16 bytes."""
    output = machine.guest.run("seq 1 2500", 3 * places.COMMAND_SECONDS)
    assert output.split() == [str(number) for number in range(1, 2501)]


def test_a_named_channel_both_ways(machine):
    """/dev/virtio-ports/NAME in the guest is a socket on the host; also after the host has hung up and come again."""
    port = f"/dev/virtio-ports/{CHANNEL}"
    assert machine.guest.run(f"cat /sys/class/virtio-ports/*/name | grep -c '^{CHANNEL}$'").strip() == "1"
    for size in (BULK, 4096):
        client = connect(machine.paths["channel"])
        check_both_ways(machine, port, client.fileno(), size)
        client.close()


def test_a_serial_port_both_ways(machine):
    """COM1 as a socket."""
    client = connect(machine.paths["serial"])
    raw = "stty -F /dev/ttyS0 raw -echo 115200; "
    check_both_ways(machine, "/dev/ttyS0", client.fileno(), SLOW, raw)
    client.close()


def test_a_serial_port_that_is_a_terminal(machine):
    """COM2 as a pseudo-terminal: its path is told, it starts raw."""
    ports = {port["device"]: port["path"] for port in machine.control.execute("query-chardev")}
    path = next(path for path in ports.values() if path.startswith("/dev/pts/"))
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(terminal)
    check_both_ways(machine, "/dev/ttyS1", terminal, SLOW // 2, "stty -F /dev/ttyS1 raw -echo 115200; ")
    os.close(terminal)


def test_power_off_removes_the_sockets(machine):
    """The last test of this guest."""
    machine.power_down()
    assert not [path for path in machine.paths.values() if os.path.exists(path)]
