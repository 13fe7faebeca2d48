"""What cannot be started is refused: one line that names the object, the cause and the remedy; the right status; nothing left behind."""
import fcntl
import os
import signal
import socket
import subprocess
import uuid

import pytest
from support import network, places

MIB = 1 << 20
NOBODY = 65534


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with good and bad files in it, in which every refused monitor works."""
    path = tmp_path_factory.mktemp("errors")
    for directory in (path, *path.parents):  # what an unprivileged user must be able to reach
        if directory.stat().st_uid == os.getuid() and directory.name:
            directory.chmod(directory.stat().st_mode | 0o055)
    (path / "empty").touch()
    (path / "noise").write_bytes(bytes((7 * i * i + 3) & 0xFF for i in range(100000)))
    (path / "json").write_text('{"cpu": {"count": 1')
    (path / "unknown.json").write_text('{"cpus": 1}')
    (path / "socketlike").write_text("a file that is none")
    for name, size in (("large", 2048 * MIB), ("disk", MIB), ("sealed", MIB), ("short", 300), ("locked", MIB)):
        with open(path / name, "wb") as file:
            file.truncate(size)
        os.chmod(path / name, 0o644)
    os.mkfifo(path / "fifo")
    (path / "kernel").symlink_to(places.KERNEL)
    (path / "vmlinux").symlink_to(places.KERNEL_ELF)
    (path / "secret").write_bytes(b"x" * 4096)
    os.chmod(path / "secret", 0o600)
    return path


def leftovers(marker):
    """Processes whose environment carries the marker."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/environ", "rb") as file:
                if f"LODGE_TEST_MARKER={marker}".encode() in file.read().split(b"\0"):
                    found.append(int(number))
        except OSError:
            pass
    return found


def refused(folder, arguments, prefix=()):
    """Runs the monitor, which must end by itself; returns (status, its one line of complaint)."""
    marker = uuid.uuid4().hex
    before = sorted(os.listdir(folder)), sorted(os.listdir("/dev/shm"))
    command = [*prefix, places.VMM, *arguments]
    environment = dict(os.environ, LODGE_TEST_MARKER=marker)
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=places.EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, errors = process.communicate()
            pytest.fail(f"it was not refused: {command}\n{output}\n{errors}")
    assert output == ""
    lines = errors.splitlines()
    assert len(lines) == 1 and errors.endswith("\n"), f"not one line: {errors!r}"
    assert lines[0].startswith("lodge-vmm: "), lines[0]
    assert leftovers(marker) == []
    assert (sorted(os.listdir(folder)), sorted(os.listdir("/dev/shm"))) == before, "files were left behind"
    return process.returncode, lines[0]


def check(folder, status, words, arguments, prefix=()):
    """Refused with this status, in a line that has all of the words in this order."""
    got, line = refused(folder, arguments, prefix)
    position = 0
    for word in words:
        position = line.find(word, position)
        assert position >= 0, f"{word!r} is missing (or comes too early) in: {line}"
    assert got == status, line


GUEST = ["run", "--kernel", "kernel", "--control", "control"]

# name: (status, words of the line in their order: object, cause, remedy; options)
REFUSED = {
    "kernel missing": (1, ["'nowhere'", "No such file", "; check the path"], ["run", "--kernel", "nowhere"]),
    "kernel not a kernel": (1, ["'noise'", "not a kernel", "; give one of"], ["run", "--kernel", "noise"]),
    "kernel empty": (1, ["'empty'", "is empty", "; "], ["run", "--kernel", "empty"]),
    "kernel a folder": (1, ["'.'", "not a regular file", "; "], ["run", "--kernel", "."]),
    "kernel a fifo": (1, ["'fifo'", "not a regular file", "; "], ["run", "--kernel", "fifo"]),
    "kernel not given": (1, ["nothing to start is given", "; use --kernel"], ["run"]),
    "kernel too large": (1, ["'kernel'", "needs memory up to", "; give it more memory"], [*GUEST, "--memory", "64"]),
    "initrd missing": (1, ["initrd 'nowhere'", "No such file", "; check the path"], [*GUEST, "--initrd", "nowhere"]),
    "initrd empty": (1, ["initrd 'empty'", "is empty", "; "], [*GUEST, "--initrd", "empty"]),
    "initrd too large": (1, ["initrd of", "does not fit", "; give the guest more"], [*GUEST, "--initrd", "large"]),
    "initrd too large for the ELF kernel": (
        1,
        ["'vmlinux'", "initrd of", "does not fit", "; give the guest more"],
        ["run", "--kernel", "vmlinux", "--memory", "64", "--initrd", "large"],
    ),
    "memory zero": (1, ["memory of 0 MiB", "too small", "; give the guest at least"], [*GUEST, "--memory", "0"]),
    "memory too small": (1, ["memory of 15 MiB", "too small", "; give the guest at least"], [*GUEST, "--memory", "15"]),
    "memory above the host": (1, ["memory of 41943040 MiB", "more than this host has", "; give"], [*GUEST, "--memory", "40960G"]),
    "memory no number": (2, ["--memory much", "not a number"], [*GUEST, "--memory", "much"]),
    "memory negative": (2, ["--memory -1", "not a number"], [*GUEST, "--memory", "-1"]),
    "vCPUs zero": (2, ["--cpus 0", "not a number from 1"], [*GUEST, "--cpus", "0"]),
    "vCPUs too many for KVM": (1, ["4096 vCPUs", "not possible", "KVM allows"], [*GUEST, "--cpus", "4096"]),
    "vCPUs too many at all": (2, ["--cpus 4097", "not a number from 1 to 4096"], [*GUEST, "--cpus", "4097"]),
    "topology contradicts": (1, ["CPU topology", "makes 4 vCPUs, but 3", "; make them equal"], [*GUEST, "--cpus", "3,cores=2,threads=2"]),
    "CPU model unknown": (1, ["CPU model 'Hal9000'", "is unknown", "; models: "], [*GUEST, "--cpu", "Hal9000"]),
    "CPU model above the host": (1, ["CPU model 'Icelake-Server'", "does not support", "avx512f", "; disable"], [*GUEST, "--cpu", "Icelake-Server"]),
    "CPU feature unknown": (1, ["CPU feature 'telepathy'", "is unknown", "; features: "], [*GUEST, "--cpu", "host-model,+telepathy"]),
    "CPU feature the host lacks": (1, ["CPU feature avx512f", "not supported by this host", "; remove"], [*GUEST, "--cpu", "host-model,+avx512f"]),
    "disk missing": (1, ["'disk0' (nowhere)", "No such file", "; check the path"], [*GUEST, "--disk", "path=nowhere"]),
    "disk empty": (1, ["'disk0' (empty)", "it is empty", "; create it"], [*GUEST, "--disk", "path=empty"]),
    "disk below one sector": (1, ["'disk0' (short)", "only 300 bytes", "; create it"], [*GUEST, "--disk", "path=short"]),
    "disk a folder": (1, ["'disk0' (.)", "Is a directory", "; give a file"], [*GUEST, "--disk", "path=."]),
    "disk a fifo": (1, ["'disk0' (fifo)", "; "], [*GUEST, "--disk", "path=fifo,read_only=on"]),
    "disk without path": (2, ["'disk0'", "neither a path nor", "; use path="], [*GUEST, "--disk", "cache=none"]),
    "disk option unknown": (2, ["--disk path=disk,color=red", "no option 'color'", "; known are"], [*GUEST, "--disk", "path=disk,color=red"]),
    "disk cache unknown": (2, ["cache: 'warm'", "not one of none"], [*GUEST, "--disk", "path=disk,cache=warm"]),
    "disk twice": (1, ["'disk1' (disk)", "in use", "; "], [*GUEST, "--disk", "path=disk", "--disk", "path=disk"]),
    "tap missing": (1, ["tap 'nowhere'", "no such interface", "; create it"], [*GUEST, "--net", "tap=nowhere"]),
    "tap that is none": (1, ["tap 'lo'", "is no tap", "; "], [*GUEST, "--net", "tap=lo"]),
    "net kind unknown": (2, ["--net avian", "not one of none, tap, user"], [*GUEST, "--net", "avian"]),
    "MAC address no address": (1, ["MAC address 'x'", "not six bytes", "; write it as"], [*GUEST, "--net", "none,mac=x"]),
    "MAC address of a group": (1, ["net0", "'01:00:5e:00:00:01'", "; use one"], [*GUEST, "--net", "none,mac=01:00:5e:00:00:01"]),
    "serial file in no folder": (1, ["'nowhere/file'", "No such file", "; "], [*GUEST, "--serial", "file=nowhere/file"]),
    "serial kind unknown": (2, ["--serial telex", "not one of none"], [*GUEST, "--serial", "telex"]),
    "control socket in no folder": (1, ["'nowhere/socket'", "No such file", "; choose"], ["run", "--kernel", "kernel", "--control", "nowhere/socket"]),
    "control socket on a file": (1, ["'socketlike'", "not a socket", "; remove it or"], ["run", "--kernel", "kernel", "--control", "socketlike"]),
    "control socket's path too long": (1, ["control socket", "; use a shorter"], ["run", "--kernel", "kernel", "--control", "x" * 200]),
    "machine unknown": (2, ["--machine abacus", "not one of microvm, pc"], [*GUEST, "--machine", "abacus"]),
    "option unknown": (2, ["--warp", "; see lodge-vmm run --help"], [*GUEST, "--warp"]),
    "option without value": (2, ["--kernel needs a value"], ["run", "--kernel"]),
    "stray word": (2, ["'word'", "; see lodge-vmm run --help"], [*GUEST, "word"]),
    "command unknown": (2, ["'fly'", "; use run"], ["fly"]),
    "no command": (2, ["usage: lodge-vmm", "--help"], []),
    "configuration missing": (2, ["nowhere", "No such file"], ["run", "--config", "nowhere"]),
    "configuration not JSON": (2, ["json", "not valid JSON"], ["run", "--config", "json"]),
    "configuration with an unknown field": (2, ["unknown.json", "cpus: there is no such setting", "; known are"], ["run", "--config", "unknown.json"]),
    "saved guest missing": (1, ["'nowhere'", "No such file", "; check the path"], ["run", "--restore", "nowhere"]),
    "saved guest that is none": (1, ["'noise'", "not a saved guest"], ["run", "--restore", "noise"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(folder, name):
    """Each row of the table, by root."""
    status, words, arguments = REFUSED[name]
    check(folder, status, words, arguments)


def in_mount_namespace(script):
    """A prefix that runs the monitor with other mounts."""
    return ["unshare", "--mount", "sh", "-c", f'set -e; {script}; exec "$@"', "sh"]


def as_nobody(script="true"):
    """A prefix that runs the monitor without any privilege, and with other mounts."""
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"]
    return [*in_mount_namespace(script), *drop]


OPEN_KVM = "mount -t tmpfs none /dev; for n in kvm:232 net/tun:200; do mkdir -p /dev/net; mknod -m 666 /dev/${n%:*} c 10 ${n#*:}; done"


def test_kvm_missing(folder):
    """No /dev/kvm: what to do is said."""
    check(folder, 1, ["/dev/kvm", "No such file", "; enable virtualization"], GUEST, in_mount_namespace("mount -t tmpfs none /dev"))


def test_kvm_not_permitted(folder):
    """/dev/kvm of somebody else."""
    closed = "mount -t tmpfs none /dev; mknod -m 600 /dev/kvm c 10 232"
    check(folder, 1, ["/dev/kvm", "Permission denied", "; add the user to the group"], GUEST, as_nobody(closed))


def test_kvm_is_something_else(folder):
    """/dev/kvm that is not KVM."""
    check(folder, 1, ["/dev/kvm", "not KVM", "; check"], GUEST, in_mount_namespace("mount --bind /dev/null /dev/kvm"))


def test_files_that_may_not_be_read_or_written(folder):
    """Kernel and disk that belong to somebody else."""
    check(folder, 1, ["'secret'", "Permission denied", "; check"], ["run", "--kernel", "secret"], as_nobody())
    for disk in ("path=sealed", "path=secret,read_only=on"):
        words = [disk[5:11], "Permission denied", "; "]
        # No control socket: this user may not make one here.
        check(folder, 1, words, ["run", "--kernel", "kernel", "--disk", disk], as_nobody(OPEN_KVM))


def test_tap_without_permission(folder):
    """A tap of somebody else."""
    with_tap = network.Tap()
    try:
        with_tap.ip("tuntap", "add", "root0", "mode", "tap", "vnet_hdr", "user", "root")
        arguments = ["run", "--kernel", "kernel", "--net", "tap=root0"]
        check(folder, 1, ["tap 'root0'", "no permission", "; create it for this user"], arguments, [*with_tap.enter, *as_nobody(OPEN_KVM)])
    finally:
        with_tap.close()


@pytest.mark.parametrize("mode", ["", ",read_only=on"])
def test_image_that_another_process_has_locked(folder, mode):
    """An image in use, as another monitor or tool marks it."""
    with open(folder / "locked", "r+b") as file:
        # struct flock: write lock on the whole file, by the open file description (F_OFD_SETLK)
        fcntl.fcntl(file, 37, bytes([1, 0]) + bytes(30))
        check(folder, 1, ["'disk0' (locked)", "in use by another process", "; stop"], [*GUEST, "--disk", f"path=locked{mode}"])


def test_control_socket_that_another_process_serves(folder):
    """The socket of a living process is not taken away from it."""
    path = str(folder / "served")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        check(folder, 1, ["'served'", "another process listens", "; choose"], ["run", "--kernel", "kernel", "--control", "served"])
        assert os.path.exists(path)
    os.unlink(path)


def test_odd_size_is_a_warning_and_the_guest_starts(vmm, tmp_path):
    """What does not fill a sector is not visible, and that is said; the whole sectors are there."""
    image = tmp_path / "odd"
    image.write_bytes(bytes(MIB + 100))
    machine = vmm(disks=[image], extra=["--paused"])
    assert machine.control.execute("query-block")[0]["size"] == MIB
    assert "the last 100 bytes are not visible" in machine.errors.text


def test_a_signal_ends_it_and_leaves_nothing(vmm, tmp_path):
    """SIGTERM: as pulling the plug, and the control socket is gone."""
    machine = vmm(extra=["--paused"])
    machine.control.execute("query-status")
    os.kill(machine.process.pid, signal.SIGTERM)
    assert machine.wait_exit() == 128 + signal.SIGTERM
    assert os.listdir(tmp_path) == []
