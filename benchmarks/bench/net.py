"""TCP throughput over a tap, without vhost on either side."""
import json
import os
import pathlib
import subprocess
import tempfile

from bench import guests
from bench.table import Row

NEEDS_LINUX_GUESTS = True
SECONDS = 6


def measure(repeat):
    tap = f"bench{os.getpid() % 100000}"
    address = "10.77.0.1"
    with tempfile.TemporaryDirectory(dir=guests.TREE / "build") as folder:
        root = pathlib.Path(folder) / "root.ext4"
        subprocess.run(["cp", "--sparse=always", guests.GUEST / "root.ext4", root], check=True)
        server = subprocess.Popen(["iperf3", "-s", "-B", "0.0.0.0"], stdout=subprocess.DEVNULL)
        try:
            for direction, flag in (("guest to host", ""), ("host to guest", "-R")):
                ours, theirs = [], []
                text = ("lodge.ip=10.77.0.2/24 lodge.gw=10.77.0.1 "
                        + guests.script(f"iperf3 -c {address} -t {SECONDS} {flag} -J | tr -d '\\n\\t'; echo; echo NET-END"))
                lodge = guests.lodge_linux(["--disk", f"path={root}", "--net", f"tap={tap}"], text)
                peer = guests.qemu_linux(["-drive", f"file={root},format=raw,if=none,id=d0", "-device", "virtio-blk-pci,drive=d0",
                                          "-netdev", f"tap,id=n0,ifname={tap},script=no,downscript=no,vhost=off",
                                          "-device", "virtio-net-pci,netdev=n0"], text)
                for _ in range(max(repeat // 2, 2)):
                    for command, results in ((lodge, ours), (peer, theirs)):
                        for step in (["ip", "tuntap", "add", tap, "mode", "tap", "vnet_hdr"],
                                     ["ip", "addr", "add", f"{address}/24", "dev", tap], ["ip", "link", "set", tap, "up"]):
                            subprocess.run(step, check=True)
                        try:
                            with guests.Run(command) as run:
                                run.wait_for(rb"NET-END", 180)
                                text_out = run.output.replace(b"\r", b"").decode(errors="replace")
                                result = json.loads(text_out[text_out.index("{"):text_out.rindex("}") + 1])
                                results.append(result["end"]["sum_received"]["bits_per_second"] / 1e9)
                        finally:
                            subprocess.run(["ip", "link", "del", tap], check=False)
                yield Row(f"iperf3, one stream, {direction}", "Gbit/s", "more", 1.0, ours, theirs)
        finally:
            server.terminate()
            server.wait()
