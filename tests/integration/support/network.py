"""Network namespaces with tap devices, so that tests never meet each other's networks."""
import itertools
import os
import subprocess

_numbers = itertools.count(1)


def ip(*arguments):
    """Runs ip(8)."""
    subprocess.run(["ip", *arguments], check=True)


class Tap:
    """A network namespace that holds one tap device, the gateway of a guest's network."""

    def __init__(self, queues=1, vnet_header=True):
        self.namespace = f"lodge-{os.getpid()}-{next(_numbers)}"
        self.name = "lodge0"
        self.gateway = "10.0.2.2"
        self.guest_address = "10.0.2.15"
        self.enter = ["ip", "netns", "exec", self.namespace]
        self.append = f"lodge.ip={self.guest_address}/24 lodge.gw={self.gateway}"  # for the guest's command line
        self.option = f"tap={self.name}"  # for lodge-vmm's --net
        ip("netns", "add", self.namespace)
        tuntap = ["tuntap", "add", self.name, "mode", "tap"]
        tuntap += ["vnet_hdr"] if vnet_header else []
        tuntap += ["multi_queue"] if queues > 1 else []
        self.ip(*tuntap)
        self.ip("addr", "add", f"{self.gateway}/24", "dev", self.name)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", self.name, "up")

    def ip(self, *arguments):
        """Runs ip(8) in the namespace."""
        ip("-n", self.namespace, *arguments)

    def run(self, *command, **options):
        """Runs a command in the namespace; returns its output."""
        result = subprocess.run([*self.enter, *command], check=True, capture_output=True, text=True, **options)
        return result.stdout

    def start(self, *command, **options):
        """Starts a command in the namespace."""
        return subprocess.Popen([*self.enter, *command], **options)

    def close(self):
        """Removes namespace and tap."""
        ip("netns", "delete", self.namespace)
