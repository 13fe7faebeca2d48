"""The daemon is killed at random instants while clients work: no guest stops, no definition is lost, every state is right afterwards."""
import os
import random
import threading

import libvirt
import pytest
from support import places
from support.daemon import URI, Daemon, domain_xml, monitors
from support.wait import until

GUESTS = 20
KILLS = 50
LONGEST_LIFE = 2.0  # s from a start of the daemon to its kill: some operations are done, most are cut short somewhere
IDLE = f"{places.TREE}/build/release/guests/idle"


@pytest.fixture
def daemon(tmp_path):
    """The daemon."""
    with_daemon = Daemon(str(tmp_path))
    yield with_daemon
    print(with_daemon.tail())
    with_daemon.close()


def xml(name):
    """A domain with a guest that sleeps."""
    return domain_xml(name, kernel=IDLE, initrd="", memory=16, devices="<memballoon model='none'/>")


class Worker(threading.Thread):
    """Defines, starts, destroys and undefines domains of its own until told to end; what was answered last must hold."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.name = f"busy{number}"
        self.random = random.Random(number)
        self.ended = threading.Event()
        self.defined = self.running = None  # None: an operation was cut short, either may be
        self.answered = 0

    def run(self):
        while not self.ended.is_set():
            try:
                connection = libvirt.open(URI)
            except libvirt.libvirtError:
                self.ended.wait(0.02)
                continue
            try:
                while not self.ended.is_set():
                    self.step(connection)
            except libvirt.libvirtError as error:
                assert error.get_error_code() in (libvirt.VIR_ERR_RPC, libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR,
                                                  libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID), error

    def step(self, connection):
        """One operation."""
        self.defined = self.running = None
        domain = connection.defineXML(xml(self.name).replace("<name>", f"<uuid>{self.uuid()}</uuid><name>"))
        self.defined = True
        self.answered += 1
        if not domain.isActive():
            domain.create()
            self.answered += 1
        self.running = True
        domain.setAutostart(self.random.randint(0, 1))
        if self.random.random() < 0.5:
            self.running = None
            domain.destroy()
            self.running = False
            self.answered += 1
            self.defined = None
            domain.undefine()
            self.defined = False

    def uuid(self):
        """Always the same."""
        return f"00000000-0000-4000-8000-{int(self.name[4:]) + 1:012d}"


def test_killed_fifty_times(daemon):
    """Twenty guests run, three clients work, the daemon dies fifty times."""
    connection = libvirt.open(URI)
    names = [f"steady{i}" for i in range(GUESTS)]
    ids = {}
    for name in names:
        domain = connection.defineXML(xml(name))
        domain.create()
        ids[name] = domain.ID()
    connection.close()
    before = {name: pid for name, pid in monitors().items() if name in names}
    assert sorted(before) == sorted(names)
    workers = [Worker(i) for i in range(3)]
    for worker in workers:
        worker.start()
    chance = random.Random(1)
    for _ in range(KILLS):
        threading.Event().wait(chance.random() * LONGEST_LIFE)
        daemon.kill()
        daemon.start()
    for worker in workers:
        worker.ended.set()
    for worker in workers:
        worker.join(places.COMMAND_SECONDS)
        assert not worker.is_alive()
    assert {name: pid for name, pid in monitors().items() if name in names} == before
    connection = libvirt.open(URI)
    for name in names:
        domain = connection.lookupByName(name)
        until(lambda domain=domain: domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING, f"{name} runs", places.COMMAND_SECONDS)
        assert (domain.ID(), domain.isPersistent()) == (ids[name], 1)
    processes = monitors()
    for worker in workers:
        assert worker.answered > 0
        known = [domain for domain in connection.listAllDomains() if domain.name() == worker.name]
        if worker.defined is not None:
            assert bool(known) == worker.defined
        for domain in known:
            until(lambda domain=domain: bool(domain.isActive()) == (domain.name() in monitors()), "state and process agree",
                  places.COMMAND_SECONDS)
            if worker.running is not None:
                assert bool(domain.isActive()) == worker.running
            domain.XMLDesc()  # whole
        if not known:
            assert worker.name not in processes
    assert not [name for name in os.listdir(f"{daemon.folder}/config") if name.startswith(".")]
    connection.close()
