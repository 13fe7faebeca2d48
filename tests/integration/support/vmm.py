"""Starts lodge-vmm and holds on to everything a test wants of it."""
import os
import select
import signal
import subprocess
import time

from . import places
from .control import Control
from .guest import Guest
from .stream import Stream


class Vmm:
    """One lodge-vmm process with a guest. Serial input and output are its standard streams unless `serial` says otherwise."""

    def __init__(self, folder, name="test", network=None, **options):
        """network: a Tap whose network namespace the process runs in. options: see arguments()."""
        self.folder = folder
        self.control_path = f"{folder}/{name}.control"
        self.command = [*(network.enter if network else []), places.VMM, "run", *self.arguments(name, **options)]
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self.pidfd = os.pidfd_open(self.process.pid)
        self.serial = Stream(self.process.stdout.fileno(), "serial output")
        self.errors = Stream(self.process.stderr.fileno(), "standard error")
        self.guest = Guest(self.serial, self.send)
        self._control = None

    def arguments(
        self,
        name,
        machine="microvm",
        cpus=1,
        memory=512,
        kernel=places.KERNEL,
        initrd=places.INITRD,
        append="",
        agent=False,
        disks=(),
        nets=(),
        serial="stdio",
        extra=(),
    ):
        """Command line of `lodge-vmm run`. append is added to the usual words; agent makes the guest obey vmm.guest."""
        result = ["--name", name, "--machine", machine, "--cpus", str(cpus), "--memory", str(memory)]
        result += ["--control", self.control_path]
        if kernel:
            words = [places.APPEND, "lodge.agent=1" if agent else "", append]
            result += ["--kernel", kernel, "--append", " ".join(word for word in words if word)]
        if initrd:
            result += ["--initrd", initrd]
        for disk in disks:
            result += ["--disk", disk if "=" in str(disk) else f"path={disk}"]
        for net in nets:
            result += ["--net", str(net)]
        if serial:
            result += ["--serial", serial]
        return [*result, *extra]

    def send(self, data):
        """Bytes into the guest's serial port."""
        while data:
            data = data[self.process.stdin.write(data) :]

    def wait_for_output(self, pattern, timeout=places.BOOT_SECONDS):
        """Waits for text on the guest's serial port; returns the match."""
        return self.serial.wait_for(pattern, timeout)

    @property
    def control(self):
        """The connection to the control socket, made at first use."""
        if self._control is None:
            self._control = self.connect()
        return self._control

    def connect(self, timeout=places.CONTROL_SECONDS):
        """A connection more to the control socket; waits until the monitor listens."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return Control(self.control_path)
            except (FileNotFoundError, ConnectionRefusedError) as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{self.control_path}: {error.strerror}; stderr:\n{self.errors.tail()}") from error
            if self.exited_within(0.02):
                raise AssertionError(f"lodge-vmm ended before it listened; stderr:\n{self.errors.tail()}")

    def exited_within(self, seconds):
        """Waits that long at most for the process to end; whether it has."""
        return bool(select.select([self.pidfd], [], [], seconds)[0])

    def wait_exit(self, timeout=places.EXIT_SECONDS):
        """Waits for the process to end; returns its exit status."""
        if not self.exited_within(timeout):
            raise AssertionError(f"lodge-vmm still runs after {timeout:g} s; serial output:\n{self.serial.tail()}")
        return self.process.wait()

    def power_down(self, timeout=places.EXIT_SECONDS):
        """Presses the power button and waits for the clean end."""
        self.control.execute("system_powerdown")
        assert self.wait_exit(timeout) == 0, self.errors.tail()
        self.serial.wait_end(timeout)

    def resident_bytes(self):
        """Memory the process occupies on the host (PSS)."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        raise AssertionError("no Pss in smaps_rollup")

    def kill(self):
        """Ends the process and all it started, if they still run; once is enough."""
        if self.pidfd < 0:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        if self._control:
            self._control.close()
        os.close(self.pidfd)
        self.pidfd = -1
        for stream in (self.serial, self.errors):
            stream.wait_end(places.EXIT_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass

    def report(self):
        """What a failed test wants to show."""
        return (
            f"$ {' '.join(self.command)}\nexit status: {self.process.poll()}\n"
            f"--- serial output\n{self.serial.tail(60)}\n--- standard error\n{self.errors.tail(40)}"
        )
