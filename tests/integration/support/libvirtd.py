"""The host's own libvirtd, whose networks and storage guests use; by a test, for a test."""
import os
import pwd
import signal
import subprocess

from . import places
from .wait import until

URI = "network:///system"
USERS = {"/etc/passwd": "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false\n", "/etc/group": "libvirt-qemu:x:64055:\nkvm:x:64056:\n"}


def has_users():
    """libvirtd's QEMU driver, which is not used here, does not start without the users of its package libvirt-daemon-system."""
    try:
        pwd.getpwnam("libvirt-qemu")
    except KeyError:
        return False
    return True


class Libvirtd:
    """Runs until close()."""

    def __init__(self, folder):
        self.log = f"{folder}/libvirtd.log"
        self.mounted = []
        if not has_users():
            for path, lines in USERS.items():
                own = f"{folder}/{os.path.basename(path)}"
                with open(path, encoding="utf-8") as before, open(own, "w", encoding="utf-8") as after:
                    text = before.read()
                    after.write(text + "".join(line + "\n" for line in lines.splitlines() if f"\n{line.split(':')[0]}:" not in text))
                subprocess.run(["mount", "--bind", own, path], check=True)
                self.mounted.append(path)
        with open(f"{folder}/libvirtd.conf", "w", encoding="utf-8") as file:
            file.write('auth_unix_rw="none"\nunix_sock_group="root"\n')
        self.command = ["libvirtd", "--config", f"{folder}/libvirtd.conf"]
        self.process = None
        self.start()

    def start(self):
        """Starts it, again after kill()."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def kill(self):
        """As a crash would."""
        self.process.kill()
        self.process.wait()

    def wait(self):
        """Until it answers."""
        until(lambda: self.ask("uri").returncode == 0, "libvirtd answers", places.COMMAND_SECONDS)

    def ask(self, *words):
        """virsh, connected to it."""
        return subprocess.run(["virsh", "-c", URI, *words], capture_output=True, text=True, timeout=places.COMMAND_SECONDS, check=False)

    def close(self):
        """Ends it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(places.EXIT_SECONDS)
        for path in self.mounted:
            subprocess.run(["umount", path], check=True)
        with open(self.log, encoding="utf-8", errors="replace") as log:
            print(log.read()[-3000:])
