"""The agent: process 1 of the nested machine. Runs the commands it is sent over a virtio-serial port.

Each command runs in a session and a cgroup of its own; when it ends, whatever it left running is killed.
"""
import _signal as signal  # the plain module: "signal" brings enum and re along, which costs 0.2 s here
import errno
import fcntl
import os
import select
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import protocol as p  # noqa: E402  (the agent runs with -I, which leaves its own folder out of the path)

PORT = "/dev/virtio-ports/lodge.agent"
CGROUPS = "/sys/fs/cgroup"
DRAIN_SECONDS = 1.0  # how long output of a process that escaped its cgroup is still waited for


def log(text):
    """One line on the machine's console."""
    os.write(2, f"agent: {text}\n".encode())


class Session:
    """One command: its process, its pipes or terminal, its cgroup."""

    def __init__(self, agent, number, request):
        self.agent = agent
        self.number = number
        self.cgroup = f"{CGROUPS}/lodge-{number}"
        self.unacknowledged = 0
        self.input = bytearray()
        self.input_ended = False
        self.status = None
        self.deadline = None
        self.outputs = {}  # descriptor -> frame kind
        self.stdin = -1
        os.mkdir(self.cgroup)
        if request.tty:
            master, slave = os.openpty()
            ends, kinds = (slave, slave, slave), {master: p.STDOUT}
            self.stdin = os.dup(master)
        else:
            (in_read, self.stdin), (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe(), os.pipe()
            ends, kinds = (in_read, out_write, err_write), {out_read: p.STDOUT, err_read: p.STDERR}
        self.pid = os.fork()
        if self.pid == 0:
            self.exec_command(request, ends)
        for descriptor in set(ends):
            os.close(descriptor)
        os.set_blocking(self.stdin, False)
        for descriptor, kind in kinds.items():
            os.set_blocking(descriptor, False)
            self.outputs[descriptor] = kind
            agent.watch(descriptor, select.EPOLLIN, self.on_output)

    def exec_command(self, request, ends):
        """In the child: becomes the command."""
        try:
            os.setsid()
            with open(f"{self.cgroup}/cgroup.procs", "w") as procs:
                procs.write("0")
            for target, descriptor in enumerate(ends):
                os.dup2(descriptor, target)
            if request.tty:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            os.closerange(3, 4096)
            for number in range(1, signal.NSIG):
                if number not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            try:
                os.chdir(request.cwd)
            except OSError:
                os.chdir("/")
            os.execvpe(request.argv[0], request.argv, request.env)
        except OSError as error:
            os.write(2, f"sandbox: {request.argv[0]}: {error.strerror}\n".encode())
            os._exit(127 if error.errno == errno.ENOENT else 126)
        finally:
            os._exit(126)

    def on_output(self, descriptor, _events):
        """Output is there: pass it on, as far as the client keeps up."""
        try:
            data = os.read(descriptor, p.CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last holder of the terminal is gone
            data = b""
        if not data:
            self.close_output(descriptor)
            self.finish_if_done()
            return
        self.agent.send(self.outputs[descriptor], self.number, data)
        self.unacknowledged += len(data)
        if self.unacknowledged >= p.WINDOW:
            for held in self.outputs:
                self.agent.unwatch(held)

    def close_output(self, descriptor):
        """Ends one output stream."""
        del self.outputs[descriptor]
        self.agent.unwatch(descriptor)
        os.close(descriptor)

    def acknowledge(self, count):
        """The client has written so much of our output: go on if we were held."""
        held = self.unacknowledged >= p.WINDOW
        self.unacknowledged -= count
        if held and self.unacknowledged < p.WINDOW:
            for descriptor in self.outputs:
                self.agent.watch(descriptor, select.EPOLLIN, self.on_output)

    def take_input(self, data):
        """Bytes for the command's standard input; none means end of file."""
        self.input += data
        self.input_ended = self.input_ended or not data
        self.write_input(self.stdin, 0)

    def write_input(self, _descriptor, _events):
        """Writes what the command is ready to take."""
        if self.stdin < 0:
            return
        written = 0
        try:
            while self.input:
                count = os.write(self.stdin, self.input[: p.CHUNK])
                del self.input[:count]
                written += count
        except BlockingIOError:
            self.agent.watch(self.stdin, select.EPOLLOUT, self.write_input)
        except OSError:  # nobody reads it any more
            written += len(self.input)
            self.input.clear()
        if written:
            self.agent.send(p.IN_ACK, self.number, struct.pack("!I", written))
        if not self.input:
            self.agent.unwatch(self.stdin)
            if self.input_ended:
                os.close(self.stdin)
                self.stdin = -1

    def kill(self, number):
        """Sends a signal to all of the command's processes."""
        if number == signal.SIGKILL:
            with open(f"{self.cgroup}/cgroup.kill", "w") as kill:
                kill.write("1")
            return
        with open(f"{self.cgroup}/cgroup.procs") as procs:
            members = [int(line) for line in procs]
        for pid in members:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def exited(self, wait_status):
        """The command itself has ended: kill what it left behind, then wait for the rest of the output."""
        code = os.waitstatus_to_exitcode(wait_status)
        self.status = code if code >= 0 else 128 - code
        self.kill(signal.SIGKILL)
        self.deadline = time.monotonic() + DRAIN_SECONDS
        self.finish_if_done()

    def finish_if_done(self):
        """Reports the exit status once the command has ended and its output is passed on."""
        if self.status is None:
            return
        if self.outputs and (self.unacknowledged >= p.WINDOW or time.monotonic() < self.deadline):
            return
        for descriptor in list(self.outputs):
            self.close_output(descriptor)
        if self.stdin >= 0:
            self.agent.unwatch(self.stdin)
            os.close(self.stdin)
        del self.agent.sessions[self.number]
        self.agent.send(p.EXIT, self.number, b"status %d" % self.status)
        self.agent.stale_cgroups.append(self.cgroup)


class Agent:
    """The event loop: the port, the children, the sessions' pipes."""

    def __init__(self):
        self.port = os.open(PORT, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.epoll = select.epoll()
        self.watched = {}
        self.sessions = {}
        self.stale_cgroups = []
        self.parser = p.Parser()
        self.timers = None
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.watch(wake_read, select.EPOLLIN, self.on_child)
        self.watch(self.port, select.EPOLLIN, self.on_port)

    def watch(self, descriptor, events, handler):
        """Calls handler(descriptor, events) whenever the events are there."""
        if descriptor in self.watched:
            self.epoll.modify(descriptor, events)
        else:
            self.epoll.register(descriptor, events)
        self.watched[descriptor] = handler

    def unwatch(self, descriptor):
        """Ends watch()."""
        if self.watched.pop(descriptor, None):
            self.epoll.unregister(descriptor)

    def send(self, kind, session, payload=b""):
        """Writes one frame to the host, which always reads."""
        data = memoryview(p.pack(kind, session, payload))
        while data:
            try:
                data = data[os.write(self.port, data) :]
            except BlockingIOError:
                select.select([], [self.port], [], 1)

    def on_port(self, _descriptor, events):
        """Frames from the host."""
        try:
            data = os.read(self.port, p.CHUNK)
        except BlockingIOError:
            return
        if not data and events & select.EPOLLHUP:
            self.power_off()
        for kind, number, payload in self.parser.feed(data):
            self.on_frame(kind, number, payload)

    def on_frame(self, kind, number, payload):
        """One frame from the host."""
        if kind == p.START:
            try:
                self.sessions[number] = Session(self, number, p.unpack_request(payload))
            except (OSError, ValueError) as error:
                self.send(p.EXIT, number, f"error {type(error).__name__}: {error}".encode())
            return
        if kind == p.POWEROFF:
            self.power_off()
        if kind == p.TICK:
            self.look_after_timers()
            return
        session = self.sessions.get(number)
        if session is None:
            return
        if kind == p.STDIN:
            session.take_input(payload)
        elif kind == p.SIGNAL:
            session.kill(payload[0])
        elif kind == p.OUT_ACK:
            session.acknowledge(struct.unpack("!I", payload)[0])
        elif kind == p.RESIZE and session.stdin >= 0:
            rows, columns = struct.unpack("!HH", payload)
            fcntl.ioctl(session.stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def look_after_timers(self):
        """Timers that have stopped are set going again."""
        if self.timers is None:
            import timers  # not at the start: ctypes takes a while

            self.timers = timers.Watch()
        if self.timers.look():
            log("timers had stopped; woken")

    def on_child(self, descriptor, _events):
        """Children have ended: commands, or orphans that process 1 must reap."""
        try:
            os.read(descriptor, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for session in list(self.sessions.values()):
                if session.pid == pid:
                    session.exited(wait_status)
        self.remove_cgroups()

    def remove_cgroups(self):
        """Removes the cgroups of ended sessions, inner ones first; one that is still busy is tried again later."""
        for cgroup in list(self.stale_cgroups):
            try:
                for folder, _, _ in os.walk(cgroup, topdown=False):
                    os.rmdir(folder)
                self.stale_cgroups.remove(cgroup)
            except OSError:
                pass

    def power_off(self):
        """Flushes the tree's pages to the host and ends the machine."""
        os.sync()
        with open("/proc/sysrq-trigger", "w") as trigger:
            trigger.write("o")
        while True:
            signal.pause()

    def run(self):
        """Serves for ever."""
        self.send(p.HELLO, 0)
        while True:
            ending = any(session.status is not None for session in self.sessions.values())
            for descriptor, events in self.epoll.poll(0.1 if ending or self.stale_cgroups else -1):
                handler = self.watched.get(descriptor)
                if handler:
                    handler(descriptor, events)
            if ending:
                for session in list(self.sessions.values()):
                    session.finish_if_done()
            if self.stale_cgroups:
                self.remove_cgroups()


if __name__ == "__main__":
    Agent().run()
