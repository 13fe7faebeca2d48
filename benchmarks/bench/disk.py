"""4 KiB random I/O at queue depth 32 on virtio-blk; the peer with iothread and io_uring."""
import json
import re

from bench import guests
from bench.table import Row

NEEDS_LINUX_GUESTS = True
SECONDS = 8


def fio(kind):
    return (f"fio --name=b --filename=/dev/vdb --rw={kind} --bs=4k --iodepth=32 --ioengine=libaio --direct=1 --time_based "
            f"--runtime={SECONDS} --ramp_time=1 --size=200m --output-format=json | tr -d '\\n'; echo; echo FIO-END")


def iops(output, kind):
    text = re.search(rb"(\{\s*\"fio version\".*\})", output, re.DOTALL).group(1)
    job = json.loads(text.replace(b"\r", b""))["jobs"][0]
    return job["read" if kind == "randread" else "write"]["iops"]


def measure(repeat):
    with guests.disks(200, "/dev/zero") as (root, data):
        for kind in ("randread", "randwrite"):
            ours, theirs = [], []
            text = guests.script(fio(kind))
            lodge = guests.lodge_linux(["--disk", f"path={root}", "--disk", f"path={data},cache=writeback"], text)
            peer = guests.qemu_linux(
                ["-object", "iothread,id=io0", "-drive", f"file={root},format=raw,if=none,id=d0",
                 "-device", "virtio-blk-pci,drive=d0",
                 "-drive", f"file={data},format=raw,if=none,id=d1,aio=io_uring,cache=writeback",
                 "-device", "virtio-blk-pci,drive=d1,iothread=io0"], text)
            for _ in range(max(repeat // 2, 2)):
                for command, results in ((lodge, ours), (peer, theirs)):
                    with guests.Run(command) as run:
                        run.wait_for(rb"FIO-END", 180)
                        results.append(iops(run.output, kind))
            yield Row(f"fio {kind}, 4 KiB, depth 32", "IOPS", "more", 1.1, ours, theirs)
