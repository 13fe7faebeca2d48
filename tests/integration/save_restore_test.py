"""A whole running guest is carried through a file."""
import os

import pytest
from support.control import ControlError

SAVE_SECONDS = 120

# Work that goes on in the background: a counter, verified random writes on the second disk, pings.
LOAD = """
cat > /run/count.sh <<'END'
i=0
while :; do i=$((i + 1)); echo $i > /run/count.new; mv /run/count.new /run/count; sleep 0.05; done
END
sh /run/count.sh >/dev/null 2>&1 &
fio --name=load --filename=/dev/vdb --rw=randwrite --bs=4k --size=24m --loops=1000 --time_based --runtime=%(seconds)d --iodepth=8 \
    --ioengine=io_uring --direct=1 --verify=crc32c --verify_backlog=64 --verify_fatal=1 --output=/run/fio.log >/dev/null 2>&1 &
echo $! > /run/fio.pid
ping -i 0.2 -s 1400 %(gateway)s > /run/ping.log 2>&1 &
"""

# Ends well as soon as a condition holds.
WAIT = "for i in $(seq 400); do %s && exit 0; sleep 0.1; done; tail -n 5 /run/*.log; exit 1"


def restored(vmm, file, network=None, cpus=1):
    """The saved guest in a new process; its agent listens already."""
    machine = vmm(kernel=None, initrd=None, serial=None, cpus=cpus, network=network, extra=["--restore", file])
    machine.guest.listening = True
    return machine


def count(machine):
    """How far the guest's counter is."""
    return int(machine.guest.run("cat /run/count"))


def replies(machine):
    """Answers to the guest's pings so far."""
    return int(machine.guest.run("grep -c 'bytes from' /run/ping.log || true"))


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_guest_under_load_goes_on_from_a_file(vmm, tap, root_disk, empty_disk, tmp_path, cpus):
    """Disk and network load, saved and ended in the middle, restored: counters and checksums go on."""
    file = str(tmp_path / "guest.save")
    data = empty_disk(32)
    machine = vmm(cpus=cpus, agent=True, disks=[root_disk, data], nets=[tap.option], network=tap, append=tap.append)
    machine.guest.run(LOAD % {"gateway": tap.gateway, "seconds": 15})
    machine.guest.run(WAIT % "grep -q 'bytes from' /run/ping.log && [ $(cat /run/count) -gt 10 ]")
    sum_before = machine.guest.sha256("/usr/bin/fio")
    counted, answered = count(machine), replies(machine)
    machine.control.execute("save", {"path": file, "quit": True}, timeout=SAVE_SECONDS)
    assert machine.wait_exit() == 0
    assert os.listdir(tmp_path).count("guest.save") == 1
    assert os.stat(file).st_blocks * 512 < os.stat(file).st_size

    again = restored(vmm, file, network=tap, cpus=cpus)
    assert again.control.execute("query-status")["running"]
    assert count(again) >= counted
    again.guest.run(WAIT % f"[ $(cat /run/count) -gt {counted + 20} ]")
    again.guest.run(WAIT % f"[ $(grep -c 'bytes from' /run/ping.log) -gt {answered + 5} ]")
    again.guest.run(WAIT % "! [ -d /proc/$(cat /run/fio.pid) ]")
    report = again.guest.run("cat /run/fio.log")
    assert "err= 0" in report and "verify:" not in report.replace("verify_", ""), report
    assert again.guest.sha256("/usr/bin/fio") == sum_before
    assert again.guest.run("dmesg | grep -E 'I/O error|BUG:|soft lockup|rcu: INFO|hung' || true") == ""
    again.power_down()


def test_a_saved_guest_also_goes_on_where_it_is(vmm, root_disk, tmp_path):
    """save without quit: the guest runs on; the file is whole; a save that fails changes nothing."""
    file = str(tmp_path / "guest.save")
    machine = vmm(agent=True, disks=[root_disk])
    machine.guest.wait_until_up()
    with pytest.raises(ControlError):
        machine.control.execute("save", {"path": "/dev/null"}, timeout=SAVE_SECONDS)
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")
    assert machine.guest.run("echo 1") == "1\n"
    machine.control.execute("save", {"path": file}, timeout=SAVE_SECONDS)
    assert machine.control.execute("query-save")["status"] == "completed"
    assert machine.control.execute("query-status")["running"]
    assert machine.guest.run("echo 2") == "2\n"
    machine.power_down()


def test_a_damaged_or_foreign_file_is_refused(vmm, tmp_path):
    """One line, exit status 1."""
    file = tmp_path / "guest.save"
    for content, word in ((b"", "cut short"), (b"x" * 5000, "not a saved guest")):
        file.write_bytes(content)
        machine = vmm(kernel=None, initrd=None, serial=None, extra=["--restore", str(file)])
        assert machine.wait_exit() == 1
        text = machine.errors.wait_end(5)
        assert word in text and text.count("\n") == 1, text
