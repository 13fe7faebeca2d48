"""The control socket of a running Linux guest."""
import json
import os

import pytest
from support.control import ControlError
from support.places import BOOT_SECONDS


def test_stop_and_cont_hold_the_guest_and_tell_every_client(vmm, root_disk):
    """A stopped guest runs no instruction; each client hears of it; queries answer meanwhile."""
    machine = vmm(agent=True, disks=[root_disk])
    machine.guest.wait_until_up()
    other = machine.connect()
    assert machine.control.greeting["QMP"]["version"]["package"] == "lodge"
    machine.control.execute("stop")
    for client in (machine.control, other):
        client.wait_for_event("STOP")
        assert client.execute("query-status") == {"status": "paused", "running": False}
    before = machine.control.execute("query-cpus")[0]["time-ns"]
    number = machine.guest.start("echo went on")
    assert machine.control.execute("query-cpus")[0]["time-ns"] - before < 50_000_000
    machine.control.execute("cont")
    machine.control.wait_for_event("RESUME")
    assert machine.guest.result(number) == (0, "went on\n")
    other.close()
    machine.power_down()


def test_queries_describe_the_machine(vmm, root_disk, empty_disk):
    """Processors, disks, counters, serial ports, names."""
    data = empty_disk(8)
    machine = vmm(cpus=2, agent=True, disks=[root_disk, data], extra=["--serial", "pty"])
    machine.guest.wait_until_up()
    control = machine.control
    assert control.execute("query-name")["name"] == "vm0"
    cpus = control.execute("query-cpus")
    assert [cpu["cpu-index"] for cpu in cpus] == [0, 1]
    for cpu in cpus:
        assert os.path.exists(f"/proc/{machine.process.pid}/task/{cpu['thread-id']}")
    disks = control.execute("query-block")
    assert disks[1]["size"] == 8 << 20 and data in disks[1]["image"]
    ports = {port["device"]: port["path"] for port in control.execute("query-chardev")}
    assert any(path.startswith("/dev/pts/") for path in ports.values()), ports
    stats = control.execute("query-stats")
    assert stats["memory"]["size"] == 512 << 20
    assert stats["devices"][disks[0]["device"]]
    names = [command["name"] for command in control.execute("query-commands")]
    assert "save" in names and names == sorted(names)
    machine.power_down()


def test_mistakes_are_answered_and_the_connection_lives(vmm):
    """Rubbish, unknown commands, unknown and wrong arguments."""
    machine = vmm(append="lodge.mode=initramfs")
    control = machine.control
    control.send_raw(b"rubbish\n" + b"[" * 100000 + b"\n")
    assert "not JSON" in control.receive(5)["error"]["desc"]
    assert "error" in control.receive(5)
    for command, arguments, word in (
        ("fly", None, "no command 'fly'"),
        ("stop", {"soon": True}, "'soon'"),
        ("block_resize", {"device": "none", "size": 1}, "no disk 'none'"),
        ("block_resize", {"device": "none"}, "'size' is missing"),
        ("set_link", {"name": "x", "up": "yes"}, "not true or false"),
        ("query-balloon", None, "no balloon"),
        ("save", {"path": "/nonexistent/folder/file"}, "No such file"),
    ):
        with pytest.raises(ControlError) as error:
            control.execute(command, arguments)
        assert word in error.value.description
    assert control.execute("query-status")["running"]
    control.execute("quit")
    assert machine.wait_exit() == 0
    assert not os.path.exists(machine.control_path)


def test_a_reset_boots_the_guest_again(vmm, root_disk):
    """system_reset: the kernel starts over in the same process."""
    machine = vmm(agent=True, disks=[root_disk])
    machine.guest.wait_until_up()
    machine.control.execute("system_reset")
    machine.control.wait_for_event("RESET")
    machine.wait_for_output(r"^LODGE-AGENT$", BOOT_SECONDS)
    assert machine.guest.run("echo alive") == "alive\n"
    machine.power_down()
    assert "SHUTDOWN" in [event["event"] for event in machine.control.events] or machine.process.returncode == 0


def test_a_disk_grows_under_the_guest(vmm, root_disk, empty_disk):
    """block_resize: image and guest have the new size."""
    data = empty_disk(8)
    machine = vmm(agent=True, disks=[root_disk, data])
    assert machine.guest.run("blockdev --getsize64 /dev/vdb") == f"{8 << 20}\n"
    device = machine.control.execute("query-block")[1]["device"]
    machine.control.execute("block_resize", {"device": device, "size": 16 << 20})
    script = "for i in $(seq 100); do [ $(blockdev --getsize64 /dev/vdb) = 16777216 ] && exit 0; sleep 0.1; done; exit 1"
    machine.guest.run(script)
    assert os.path.getsize(data) == 16 << 20
    machine.power_down()


def test_a_cable_is_pulled_and_plugged(vmm, tap, root_disk):
    """set_link: the guest sees its carrier go and come."""
    machine = vmm(agent=True, disks=[root_disk], nets=[tap.option], network=tap, append=tap.append)
    machine.guest.run(f"ping -c 1 {tap.gateway}")
    wait = "for i in $(seq 100); do [ $(cat /sys/class/net/eth0/carrier) = %d ] && exit 0; sleep 0.1; done; exit 1"
    nic = next(name for name in machine.control.execute("query-stats")["devices"] if name.startswith("net"))
    machine.control.execute("set_link", {"name": nic, "up": False})
    machine.guest.run(wait % 0)
    machine.control.execute("set_link", {"name": nic, "up": True})
    machine.guest.run(wait % 1)
    machine.control.execute("announce")
    machine.guest.run(f"ping -c 1 {tap.gateway}")
    machine.power_down()


def test_descriptors_are_passed(vmm):
    """getfd keeps what comes with its message; closefd drops it."""
    machine = vmm(append="lodge.mode=initramfs")
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    machine.control.execute("getfd", {"fdname": "pipe"}, descriptors=[writer])
    os.close(writer)
    with pytest.raises(BlockingIOError):
        os.read(reader, 1)
    machine.control.execute("closefd", {"fdname": "pipe"})
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert json.dumps(machine.control.execute("query-version"))
    machine.control.execute("quit")
    assert machine.wait_exit() == 0
