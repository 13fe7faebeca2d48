"""The nested machine's QEMU process."""
import ctypes
import os
import signal
import socket
import subprocess

from . import protocol as p
from .places import HERE, TREE, tool

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(number):
    """This process gets the signal when its parent ends, however that happens."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def default_memory():
    """MiB of memory for the nested machine; it takes from the host only what it touches."""
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return 8192 if host >= 11500 else 3072


def parse_disk(text):
    """SIZE[:NAME] -> (MiB, name)."""
    size, _, name = text.partition(":")
    return int(size), name


def _hex(path):
    return path.encode().hex()


def start(image, config, folder, log):
    """Starts QEMU; returns (process, socket to the agent's port)."""
    ours, theirs = socket.socketpair()
    command_line = (
        "console=ttyS0 panic=-1 mitigations=off nokaslr quiet init_on_alloc=0 tsc=reliable nowatchdog cryptomgr.notests audit=0 lsm=capability "
        f"lodge.tree={_hex(TREE)} lodge.modules={_hex(image.modules)} lodge.agent={_hex(HERE + '/agent.py')}"
    )
    command = [
        tool("qemu-system-x86_64", "qemu-system-x86"),
        *("-name", "lodge-l1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-machine", "pc", "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "EPYC,+svm,+npt"),
        *("-smp", str(config["smp"]), "-m", str(config["mem"])),
        *("-kernel", image.vmlinux, "-initrd", image.initramfs, "-append", command_line),
        *("-serial", f"file:{log}"),
        *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,fd={theirs.fileno()}"),
        *("-device", "virtserialport,chardev=agent,name=lodge.agent"),
        *("-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap"),
        *("-virtfs", f"local,path={TREE.replace(',', ',,')},mount_tag=tree,security_model=none,multidevs=remap"),
    ]
    for index, (size, name) in enumerate(config["disks"]):
        path = f"{folder}/disk{index}.img"
        with open(path, "wb") as file:
            file.truncate(size << 20)
        serial = name or f"disk{index}"
        command += ["-drive", f"if=none,id=disk{index},format=raw,cache=unsafe,discard=unmap,file={path.replace(',', ',,')}"]
        command += ["-device", f"virtio-blk-pci,drive=disk{index},serial={serial}"]
    with open(log + ".qemu", "wb") as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env=os.environ | {"LD_PRELOAD": image.preload},
            preexec_fn=lambda: die_with_parent(signal.SIGKILL),
        )
    theirs.close()
    ours.setblocking(False)
    return process, ours


def log_tail(log, lines=25):
    """The last lines of a console log and of QEMU's own messages."""
    text = []
    for path in (log + ".qemu", log):
        try:
            with open(path, errors="replace") as file:
                text += file.read().splitlines()[-lines:]
        except OSError:
            pass
    return "\n".join(f"    {line}" for line in text)


POWEROFF = p.pack(p.POWEROFF, 0)
