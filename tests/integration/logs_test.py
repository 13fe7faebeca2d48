"""What guests write to their consoles is kept in logs that do not grow beyond their limit, also while the daemon is away."""
import os

import pytest
from support import places
from support.daemon import Console, Daemon
from support.wait import until

SIZE = 8192  # few: in the test bed a console takes milliseconds for each 16 bytes
BACKUPS = 2
TICKS = "awk 'BEGIN { for (i = 0; ; i++) print i }'"


@pytest.fixture(scope="module")
def daemon(shared_folder):
    """A daemon with small logs."""
    with_daemon = Daemon(shared_folder, settings=f"max_size = {SIZE}\nmax_backups = {BACKUPS}\n")
    yield with_daemon
    with_daemon.close()
    print(with_daemon.tail())


@pytest.fixture(scope="module")
def logs(shared_folder):
    """Paths: the serial port's log and the virtio console's file, which had text before."""
    paths = [f"{shared_folder}/serial.log", f"{shared_folder}/virtio.out"]
    with open(paths[0], "w", encoding="utf-8") as file:
        file.write("from before\n")
    return paths


@pytest.fixture(scope="module")
def guest(daemon, logs, shared_root):
    """A guest whose serial port has a log and whose virtio console is a file."""
    serial, virtio = logs
    daemon.define("chatty", append=f"{places.APPEND} lodge.agent=1", devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{shared_root}'/><target dev='vda' bus='virtio'/></disk>
      <serial type='pty'><log file='{serial}'/><target port='0'/></serial>
      <console type='file'><source path='{virtio}'/><target type='virtio' port='1'/></console>""")
    daemon.virsh("start chatty")
    console = Console("chatty")
    console.guest.wait_until_up()
    yield console.guest
    console.close()


def sizes(path):
    """Of the log and its backups, the newest first."""
    names = [path] + [f"{path}.{number}" for number in range(BACKUPS)]
    return [os.path.getsize(name) if os.path.exists(name) else None for name in names]


def read(path):
    """A log's bytes."""
    with open(path, "rb") as file:
        return file.read()


def test_a_serial_ports_log_has_what_was_before_and_all_of_the_boot(daemon, guest, logs):
    """It is appended to by default; the console shows the same."""
    assert guest.run("echo word") == "word\n"
    text = read(logs[0])
    assert text.startswith(b"from before\n") and b"LODGE-AGENT" in text


def test_a_guest_that_writes_without_end_fills_only_its_logs(guest, logs):
    """Five times the limit through the virtio console: the last bytes are in the log, those before in its backups, in order."""
    lines = SIZE * 5 // 8
    guest.run(f"""awk 'BEGIN {{ for (i = 1; i <= {lines}; i++) printf "%07d\\n", i }}' > /dev/hvc0""")
    until(lambda: read(logs[1]).replace(b"\r", b"").endswith(b"%07d\n" % lines), "the last line is in the log", places.COMMAND_SECONDS)
    assert all(size <= SIZE for size in sizes(logs[1]))
    assert sizes(logs[1])[1:] == [size for size in sizes(logs[1])[1:] if size > SIZE - 100]
    kept = b"".join(read(name) for name in (f"{logs[1]}.1", f"{logs[1]}.0", logs[1])).split()[1:]  # the first line is cut
    assert kept == [b"%07d" % number for number in range(lines - len(kept) + 1, lines + 1)]
    assert sorted(name for name in os.listdir(os.path.dirname(logs[1])) if name.startswith("virtio.out")) == [
        "virtio.out", "virtio.out.0", "virtio.out.1"]


def test_logs_keep_to_their_limit_while_the_daemon_is_away(daemon, guest, logs):
    """The monitor moves the text itself, though it is confined and nobody is there to ask."""
    guest.run(f"{TICKS} > /dev/hvc0 2>/dev/null &")
    daemon.kill()
    for _ in range(2):
        before = read(f"{logs[1]}.0")
        until(lambda before=before: read(f"{logs[1]}.0") != before, "the log's text moves on", places.COMMAND_SECONDS)
    assert all(size <= SIZE for size in sizes(logs[1]))
    daemon.start()
    assert daemon.state("chatty").startswith("running")


def test_the_guests_own_log_is_kept_small_and_unused_backups_go(daemon, guest, shared_folder):
    """One line or more for each start; at the guest's end no empty file is left."""
    daemon.virsh("destroy chatty")
    folder = f"{shared_folder}/log"
    assert [name for name in sorted(os.listdir(folder)) if os.path.getsize(f"{folder}/{name}") == 0] == []
    log = f"{folder}/chatty.log"
    with open(log, "ab") as file:
        file.write(b"x" * SIZE)
    daemon.virsh("start chatty --paused")
    assert os.path.getsize(log) < SIZE and os.path.getsize(f"{log}.0") > SIZE
    daemon.virsh("destroy chatty")


def test_a_log_that_shall_not_be_kept_starts_empty(daemon, logs, shared_folder):
    """append='off' is for the log and its backups; a path that cannot be written is named."""
    path = f"{shared_folder}/fresh.log"
    for name in (path, f"{path}.0"):
        with open(name, "wb") as file:
            file.write(b"old")
    daemon.define("fresh", append=places.APPEND, devices=f"<serial type='pty'><log file='{path}' append='off'/><target port='0'/></serial>")
    daemon.virsh("start fresh --paused")
    assert b"old" not in read(path) and b"old" not in read(f"{path}.0")
    daemon.virsh("destroy fresh")
    daemon.define("nowhere", devices="<serial type='pty'><log file='/nonexistent/log'/><target port='0'/></serial>")
    assert "/nonexistent/log" in daemon.fails("start nowhere")
