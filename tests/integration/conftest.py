"""Fixtures of the integration tests. They run as root where /dev/kvm works: see tests/sandbox/."""
import os
import shutil

import pytest
from support import disks, network, places
from support.daemon import Daemon
from support.vmm import Vmm


def pytest_sessionstart(session):
    """Says at once what is missing."""
    if session.config.option.collectonly:
        return
    missing = [path for path in (places.VMM, places.KERNEL, places.INITRD, places.ROOT_IMAGE) if not os.path.exists(path)]
    if missing:
        pytest.exit(f"missing: {' '.join(missing)}; build first (./run-tests integration does it all)", returncode=4)
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        pytest.exit("/dev/kvm cannot be opened; run under tests/sandbox/sandbox run", returncode=4)


@pytest.fixture
def vmm(tmp_path):
    """Starts guests: vmm(cpus=2, agent=True, ...) -> Vmm. All are killed at the test's end, their output shown if it failed."""
    started = []

    def start(**options):
        options.setdefault("name", f"vm{len(started)}")
        machine = Vmm(str(tmp_path), **options)
        started.append(machine)
        return machine

    yield start
    for machine in started:
        machine.kill()
        print(machine.report())


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    """A folder of the module's own."""
    folder = tmp_path_factory.mktemp("shared")
    yield str(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def daemon(shared_folder):
    """The daemon of a module's tests, which the stock clients reach."""
    with_daemon = Daemon(shared_folder)
    yield with_daemon
    with_daemon.close()
    print(with_daemon.tail())


@pytest.fixture(scope="module")
def shared_vmm(shared_folder):
    """As vmm, for guests that all tests of a module use."""
    started = []

    def start(**options):
        options.setdefault("name", f"vm{len(started)}")
        machine = Vmm(shared_folder, **options)
        started.append(machine)
        return machine

    yield start
    for machine in started:
        machine.kill()
        print(machine.report())


@pytest.fixture(scope="module")
def shared_root(base_image, shared_folder):
    """As root_disk, for the module."""
    return disks.copy_sparse(base_image, f"{shared_folder}/root.ext4")


@pytest.fixture
def tap():
    """A tap with an address in a network namespace of its own."""
    with_tap = network.Tap()
    yield with_tap
    with_tap.close()


@pytest.fixture
def tap_queues():
    """A tap that can be opened by several queues."""
    with_tap = network.Tap(queues=4)
    yield with_tap
    with_tap.close()


@pytest.fixture(scope="session")
def base_image(tmp_path_factory):
    """The test guest's root file system, near at hand."""
    return disks.copy_sparse(places.ROOT_IMAGE, str(tmp_path_factory.mktemp("base") / "root.ext4"))


@pytest.fixture
def root_disk(base_image, tmp_path):
    """A fresh copy of the test guest's root file system."""
    path = disks.copy_sparse(base_image, str(tmp_path / "root.ext4"))
    yield path
    os.unlink(path)


@pytest.fixture
def empty_disk(tmp_path):
    """Makes empty images: empty_disk(MEBIBYTES) -> path."""
    folder = tmp_path / "disks"
    folder.mkdir()
    yield lambda mebibytes, name="data": disks.empty(str(folder / f"{name}.img"), mebibytes)
    shutil.rmtree(folder)


@pytest.fixture
def direct_folder(tmp_path):
    """A folder on an ext4 of its own (1 GiB, sparse): for O_DIRECT and for a full disk."""
    folder = disks.DirectFolder(str(tmp_path), 1024)
    yield folder.path
    folder.close()
