"""Monitors run as an account that may read and write nothing: the daemon opens what they work with."""
import os
import re
import socket
import subprocess

import pytest
from support import disks, hotplug, places
from support.daemon import DAEMON, Console, Daemon, monitors
from support.wait import until

NOBODY = 65534
CHANNEL = "org.lodge.test"


@pytest.fixture(scope="module")
def daemon(shared_folder):
    """A daemon whose monitors are nobody."""
    with_daemon = Daemon(shared_folder, settings='monitor_user = "nobody"\nmonitor_group = "nogroup"\n')
    yield with_daemon
    with_daemon.close()
    print(with_daemon.tail())


@pytest.fixture(scope="module")
def guest(daemon, shared_folder, shared_root):
    """A guest with an image and a log of root's own, a socket, a file and a NIC."""
    os.chmod(shared_folder, 0o700)
    os.chmod(shared_root, 0o600)
    daemon.define("web", append=f"{places.APPEND} lodge.agent=1", machine="pc", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{shared_root}'/><target dev='vda' bus='virtio'/></disk>
      <interface type='ethernet'><model type='virtio'/></interface>
      <serial type='pty'><log file='{shared_folder}/serial.log'/><target port='0'/></serial>
      <serial type='file'><source path='{shared_folder}/serial2.out'/><target port='1'/></serial>
      <channel type='unix'><source mode='bind' path='{shared_folder}/channel'/><target type='virtio' name='{CHANNEL}'/></channel>""")
    daemon.virsh("start web")
    console = Console("web")
    console.guest.wait_until_up()
    yield console.guest
    console.close()


def status_of(pid):
    """What the kernel says of a process, by field."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file)


def test_the_monitor_is_nobody_and_the_guest_works(daemon, guest, shared_folder, shared_root):
    """Identity, groups and capabilities; files stay root's and are written all the same."""
    status = status_of(monitors()["web"])
    assert status["Uid"].split() == [str(NOBODY)] * 4 and status["Gid"].split() == [str(NOBODY)] * 4
    assert status["Groups"].split() == [] and int(status["CapEff"], 16) == 0 and int(status["CapPrm"], 16) == 0
    guest.run("echo kept > /root/word && sync && echo second > /dev/ttyS1")
    assert os.stat(shared_root).st_uid == 0 and os.stat(shared_root).st_mode & 0o777 == 0o600
    for name, word in (("serial.log", b"LODGE-AGENT"), ("serial2.out", b"second")):
        path = f"{shared_folder}/{name}"
        assert os.stat(path).st_uid == 0 and os.stat(path).st_mode & 0o777 == 0o600
        with open(path, "rb") as file:
            assert word in file.read()
    assert guest.run("cat /sys/class/net/eth0/address").strip() in daemon.virsh("domiflist web")


def test_disks_of_root_come_and_go(daemon, guest, shared_folder):
    """The daemon opens what is plugged in, too."""
    image = disks.empty(f"{shared_folder}/data.img", 8)
    os.chmod(image, 0o600)
    daemon.virsh(f"attach-disk web {image} vdb --targetbus virtio --subdriver raw")
    hotplug.wait_for(guest, "[ -b /dev/vdb ]")
    guest.run("echo plugged | dd of=/dev/vdb bs=512 conv=sync oflag=direct 2>/dev/null")
    daemon.virsh("detach-disk web vdb")
    until(lambda: "vdb" not in daemon.virsh("domblklist web"), "the disk goes", places.COMMAND_SECONDS)
    with open(image, "rb") as file:
        assert file.read(7) == b"plugged"


def test_a_daemon_that_comes_back_learns_why_the_guest_ended(daemon, guest, shared_folder):
    """The monitor keeps the file for it open from the start; sockets that the definition names go with the guest."""
    process = monitors()["web"]
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(f"{shared_folder}/channel")
        guest.run(f"(until read -r word < /dev/virtio-ports/{CHANNEL} && [ $word = off ]; do :; done; poweroff -f) >/dev/null 2>&1 &")
        daemon.kill()
        channel.sendall(b"off\n")
        until(lambda: not os.path.exists(f"/proc/{process}"), "the guest ends", places.BOOT_SECONDS)
    daemon.start()
    assert daemon.state("web") == "shut off (shutdown)"
    assert not os.path.exists(f"{shared_folder}/channel")


def test_an_account_that_is_not_there_stops_the_daemon(tmp_path):
    """A name in the configuration must exist; the message has it and the file."""
    for key, value in (("monitor_user", "no-such-user"), ("monitor_group", "no-such-group")):
        config = tmp_path / f"{key}.conf"
        names = {"monitor_user": "nobody", "monitor_group": "nogroup", key: value}
        config.write_text("".join(f'{name} = "{text}"\n' for name, text in names.items()))
        done = subprocess.run([DAEMON, "--config", str(config)], capture_output=True, text=True, timeout=places.COMMAND_SECONDS, check=False)
        assert done.returncode != 0
        assert re.search(rf"{key} is '{value}'.*no such", done.stdout + done.stderr) and str(config) in done.stdout + done.stderr
