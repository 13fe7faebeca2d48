#!/usr/bin/env python3
"""Runs one case of cases.py: a bare-metal guest under lodge-vmm, its exit status and output checked.

    run_guest.py --vmm build/release/bin/lodge-vmm --guests build/release/guests CASE
    run_guest.py --list

Exit status: 0 passed, 1 failed, 77 skipped (this machine has no usable /dev/kvm).
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

import cases

PASSED = 33  # the guest wrote 16 to port 0xf4
SKIPPED = 77


class Failure(Exception):
    pass


class Run:
    """What a case uses: a scratch folder, and runs of the monitor."""

    def __init__(self, vmm, guests, folder):
        self.vmm, self.guests, self.folder = vmm, pathlib.Path(guests), pathlib.Path(folder)
        self.output = ""
        self.log = ""

    def path(self, name):
        return str(self.folder / name)

    def file(self, name, content):
        (self.folder / name).write_bytes(content)
        return self.path(name)

    def check(self, condition, what):
        if not condition:
            raise Failure(what)

    def start(self, guest, *options, machine="microvm", words="", prefix=(), **popen):
        (self.folder / "com1").write_bytes(b"")
        command = [*prefix, self.vmm, "run", "--name", guest, "--machine", machine, "--memory", "32", "--debug-exit",
                   "--kernel", str(self.guests / guest), "--append", words, "--serial", "file=" + self.path("com1"), *options]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=open(self.path("log"), "wb"), **popen)

    def wait_for_text(self, text, timeout=240):
        """Waits until the guest has printed it."""
        end = time.monotonic() + timeout
        pause = threading.Event()
        while text not in (self.folder / "com1").read_text(errors="replace"):
            self.check(time.monotonic() < end, f"the guest did not print {text}")
            pause.wait(0.01)

    def finish(self, process, status=PASSED, timeout=240):
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = "timeout"
        self.output = (self.folder / "com1").read_bytes().decode(errors="replace")
        self.log = (self.folder / "log").read_bytes().decode(errors="replace")
        self.check(code == status, f"lodge-vmm ended with {code}, expected {status}")
        if status == PASSED:
            self.check(self.output.endswith("PASS\n"), "the guest's output does not end with PASS")

    def run(self, guest, *options, status=PASSED, **how):
        self.finish(self.start(guest, *options, **how), status)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--vmm")
    parser.add_argument("--guests")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("case", nargs="?")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(cases.CASES))
        return 0
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: /dev/kvm is not usable here")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="lodge-guest-") as folder:
        run = Run(arguments.vmm, arguments.guests, folder)
        try:
            cases.CASES[arguments.case](run)
        except cases.Skip as reason:
            print(f"skipped: {reason}")
            return SKIPPED
        except Failure as failure:
            print(f"{arguments.case}: {failure}\n--- guest\n{run.output}\n--- monitor\n{run.log}")
            return 1
        print(run.output)
    return 0


if __name__ == "__main__":
    sys.modules["run_guest"] = sys.modules["__main__"]
    sys.exit(main())
