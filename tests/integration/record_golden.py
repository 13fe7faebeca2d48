"""Records golden bytes: what libvirt's stock client sends for each call, and what libvirt's own daemon and drivers answer.

usage: record_golden.py OUTPUT      as root, with Debian's libvirt-daemon, libvirt-daemon-driver-qemu and qemu-system-x86 installed

The daemon runs in a mount namespace with /run, /etc/libvirt and /var/lib/libvirt of its own; its guest under QEMU's emulator. Lines made by
hand that OUTPUT has already are kept for messages that nobody sends. tests/unit/libvirt-driver/rpc/golden/README.md tells the format.
"""
import faulthandler
import os
import signal
import subprocess
import sys
import traceback

from support import golden_calls
from support.wait import until

HERE = os.path.dirname(os.path.abspath(__file__))
LONG = 700  # bytes; what is longer is taken only if there is nothing shorter
WORK = "/run/golden"
DAEMON_SOCKET = f"{WORK}/libvirt-sock"
STOCK_SOCKET = "/run/libvirt/libvirt-sock"
SECONDS = 40
XML = f"""<domain type='qemu'>
  <name>golden</name><uuid>11111111-2222-4333-8444-555555555555</uuid><memory unit='KiB'>65536</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{WORK}/disk.img'/><target dev='vda' bus='virtio'/></disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
    <console type='pty'/><channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <channel type='pty'><target type='virtio' name='org.example.golden'/></channel>
    <memballoon model='virtio'/><graphics type='vnc' autoport='yes'/>
  </devices>
</domain>"""
QEMU_CONF = 'user="root"\ngroup="root"\nsecurity_driver="none"\ncgroup_controllers=[]\nnamespaces=[]\nremember_owner=0\n'
# The files that the package libvirt-daemon-system would have changed.
USERS = {"/etc/passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false\n", "/etc/group": "libvirt-qemu:x:64055:\nkvm:x:64056:\nlibvirt:x:64057:\n"}


def prepare():
    """Folders of our own, in this mount namespace."""
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    for path in ("/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt"):
        os.makedirs(path, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", path], check=True)
    os.makedirs(WORK)
    os.makedirs("/run/libvirt")
    for path, more in USERS.items():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        own = f"{WORK}/{os.path.basename(path)}"
        missing = [line for line in more.splitlines() if line.split(":")[0] + ":" not in text]
        with open(own, "w", encoding="utf-8") as file:
            file.write(text + "".join(line + "\n" for line in missing))
        subprocess.run(["mount", "--bind", own, path], check=True)
    with open("/etc/libvirt/qemu.conf", "w", encoding="utf-8") as file:
        file.write(QEMU_CONF)
    with open("/etc/libvirt/libvirtd.conf", "w", encoding="utf-8") as file:
        file.write(f'auth_unix_rw="none"\nunix_sock_dir="{WORK}"\n')
    with open(f"{WORK}/disk.img", "wb") as image:
        image.truncate(1 << 20)


def recorded(name, calls, without=()):
    """The messages while `calls` runs, in a process of its own, with a socket to talk to."""
    sock, out = STOCK_SOCKET if name == "any" else f"{WORK}/{name}.sock", f"{WORK}/{name}.lines"
    # a process of its own: the binding closes connections while it holds Python's lock
    recorder = subprocess.Popen([sys.executable, f"{HERE}/support/recorder.py", sock, DAEMON_SOCKET, out, *map(str, without)])
    until(lambda: os.path.exists(sock), "the recorder listens", SECONDS)
    child = os.fork()
    if child == 0:
        status = 1
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            calls(sock)
            status = 0
        except BaseException:  # pylint: disable=broad-exception-caught
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, f"the calls of {name} failed"
    recorder.send_signal(signal.SIGTERM)
    recorder.wait()
    with open(out, encoding="utf-8") as file:
        return [tuple(line.split()) for line in file]


def choose(texts):
    """Of a message's forms one that is long enough to be of worth and short enough to keep."""
    short = [text for text in texts if len(text) <= 2 * LONG]
    return max(short, key=len) if short else min(texts, key=len)


def main():
    """Records, chooses, writes."""
    if os.environ.get("GOLDEN_NAMESPACE") is None:
        env = dict(os.environ, GOLDEN_NAMESPACE="1")
        words = ["unshare", "-m", "-p", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]
        os.execvpe("unshare", [*words, "/usr/bin/python3", os.path.abspath(__file__), os.path.abspath(sys.argv[1])], env)
    if (child := os.fork()) != 0:
        # the first process of its namespace: it buries what libvirtd leaves, until the work is done
        while True:
            pid, status = os.wait()
            if pid == child:
                sys.exit(os.waitstatus_to_exitcode(status))
    prepare()
    with open(f"{WORK}/log", "wb") as log:
        daemons = [subprocess.Popen(command, stdout=log, stderr=log) for command in (["virtlogd"], ["libvirtd"])]
    until(lambda: os.path.exists(DAEMON_SOCKET), "libvirtd serves", SECONDS)
    found = {}  # (program, procedure, kind) -> {source: [hex, ...]}
    runs = {
        "qemu": lambda sock: golden_calls.everything(f"qemu+unix:///system?socket={sock}", XML, "golden", "vda", "52:54:00:00:00:01"),
        "test": lambda sock: golden_calls.everything(f"test+unix:///default?socket={sock}", None, "test", "vda", "vnet0"),
        "old": lambda sock: golden_calls.legacy(f"qemu+unix:///system?socket={sock}", XML),
        "any": lambda _: golden_calls.ask_uri(),
    }
    for source, calls in runs.items():
        for program, procedure, kind, text in recorded(source, calls, (14, 15) if source == "old" else ()):
            if kind == "error" and procedure != "DOMAIN_LOOKUP_BY_NAME":
                continue  # all errors have one shape
            found.setdefault((program, procedure, kind), {}).setdefault(source, []).append(text)
    for daemon in reversed(daemons):
        daemon.terminate()
        daemon.wait()
    write(sys.argv[1], {key: (next(iter(sources)), choose(next(iter(sources.values())))) for key, sources in found.items()})


def write(path, lines):
    """The file, with its lines made by hand where nothing was recorded."""
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for program, procedure, kind, source, text in (line.split() for line in file if not line.startswith("#")):
                if source == "hand":
                    lines.setdefault((program, procedure, kind), (source, text))
    with open(path, "w", encoding="utf-8") as file:
        file.write("# PROGRAM PROCEDURE call|reply|event SOURCE HEX; see README.md. Made by tests/integration/record_golden.py.\n")
        for key, (source, text) in sorted(lines.items()):
            file.write(" ".join((*key, source, text)) + "\n")


if __name__ == "__main__":
    main()
