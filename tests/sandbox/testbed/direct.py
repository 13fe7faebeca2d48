"""Running a command on the host itself, where KVM has hardware under it."""
import os
import re
import signal
import subprocess
import sys

from . import machine


def possible():
    """Whether the processor has vmx or svm and /dev/kvm opens. A kvm device alone proves nothing."""
    with open("/proc/cpuinfo") as file:
        if not re.search(r"^flags\s*:.*\b(vmx|svm)\b", file.read(), re.MULTILINE):
            return False
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def run(argv, extra_environment, timeout):
    """Runs the command; ends it and its process group when we are told to end or time is up."""
    if not timeout:
        os.environ.update(extra_environment)
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            print(f"sandbox: {argv[0]}: {error.strerror}", file=sys.stderr)
            return 127 if isinstance(error, FileNotFoundError) else 126
    child = subprocess.Popen(
        argv,
        env=dict(os.environ, **extra_environment),
        process_group=0,
        preexec_fn=lambda: machine.die_with_parent(signal.SIGKILL),
    )
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: os.killpg(child.pid, got))
    try:
        code = child.wait(timeout)
        return code if code >= 0 else 128 - code
    except subprocess.TimeoutExpired:
        print(f"sandbox: the command ran longer than {timeout:g} s and was killed", file=sys.stderr)
        return 124
    finally:
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
