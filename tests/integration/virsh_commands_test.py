"""virsh commands that need no operating system in the guest: each looks at the host for what it did."""
import os
import pty
import re
import subprocess
import threading

import libvirt
import pytest
from support import places
from support.daemon import URI, domain_xml
from support.wait import until

IDLE = f"{places.TREE}/build/release/guests/idle"
CGROUPS = "/sys/fs/cgroup"


@pytest.fixture
def idle(daemon):
    """A defined and running guest that only waits."""
    daemon.define("idle", kernel=IDLE, initrd="", memory=16, devices="<memballoon model='none'/>")
    daemon.virsh("start idle")
    yield "idle"
    daemon.try_virsh("destroy idle")
    daemon.virsh("undefine idle")


def idle_file(daemon, name, **options):
    """XML of such a guest in a file."""
    path = f"{daemon.folder}/{name}.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write(domain_xml(name, kernel=IDLE, initrd="", memory=16, devices="<memballoon model='none'/>", **options))
    return path


def status_attribute(daemon, name, attribute):
    """What the daemon keeps of a running guest."""
    with open(f"{daemon.folder}/run/{name}.xml", encoding="utf-8") as file:
        return re.search(rf'{attribute}=["\']([^"\']*)', file.read()).group(1)


def process_of(daemon, name):
    """Number of its monitor."""
    return int(status_attribute(daemon, name, "pid"))


def alive(pid):
    """Whether the process runs."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_create_makes_a_guest_that_is_gone_when_it_ends(daemon):
    """create, dominfo, domcontrol, destroy of a transient domain."""
    daemon.virsh(f"create {idle_file(daemon, 'fleeting')}")
    info = daemon.virsh("dominfo fleeting")
    assert re.search(r"^Persistent: +no$", info, re.MULTILINE) and re.search(r"^State: +running$", info, re.MULTILINE)
    assert daemon.virsh("domcontrol fleeting").strip() == "ok"
    pid = process_of(daemon, "fleeting")
    assert alive(pid)
    assert "transient" in daemon.fails("autostart fleeting")
    daemon.virsh("destroy fleeting")
    assert not alive(pid)
    assert "fleeting" not in daemon.virsh("list --all --name").split()


def test_paused_reset_and_destroyed(daemon):
    """start --paused, resume, reset, inject-nmi, destroy --graceful and the reasons that are told."""
    daemon.define("steps", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("start steps --paused")
    assert daemon.state("steps") == "paused (user)"
    daemon.virsh("resume steps")
    assert daemon.state("steps").startswith("running")
    pid = process_of(daemon, "steps")
    daemon.virsh("reset steps")
    assert alive(pid) and daemon.state("steps").startswith("running")
    daemon.virsh("inject-nmi steps")
    assert "already" in daemon.fails("start steps")
    daemon.virsh("destroy steps --graceful")
    assert daemon.state("steps") == "shut off (destroyed)"
    assert not alive(pid)
    daemon.virsh("undefine steps")


def test_a_monitor_that_dies_is_a_crash_that_is_told(daemon):
    """The reason is right, the definition stays, and nothing is left of the run."""
    daemon.define("victim", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("start victim")
    folder = status_attribute(daemon, "victim", "folder")
    os.kill(process_of(daemon, "victim"), 9)
    until(lambda: daemon.state("victim") == "shut off (failed)", "its end is told", places.COMMAND_SECONDS)
    assert not os.path.exists(folder)
    daemon.virsh("start victim")
    daemon.virsh("destroy victim")
    daemon.virsh("undefine victim")


def test_edit_changes_the_definition(daemon):
    """edit runs the user's editor on the definition and defines what it leaves."""
    daemon.define("edited", kernel=IDLE, initrd="", memory=16)
    environment = dict(os.environ, EDITOR="sed -i s/16384/32768/g", VISUAL="")
    environment.pop("VISUAL")
    master, slave = pty.openpty()
    with subprocess.Popen(["virsh", "-c", URI, "edit", "edited"], env=environment, stdin=slave, stdout=slave, stderr=slave) as process:
        assert process.wait(places.COMMAND_SECONDS) == 0
    os.close(master)
    os.close(slave)
    assert "<memory unit='KiB'>32768<" in daemon.virsh("dumpxml edited")
    daemon.virsh("undefine edited")


def test_several_commands_in_one_session_and_quit(daemon):
    """virsh as a shell: commands from its input, up to quit."""
    done = subprocess.run(["virsh", "-c", URI], input="uri\nnodeinfo\nquit\nhostname\n", capture_output=True, text=True,
                          timeout=places.COMMAND_SECONDS, check=True)
    assert "lodge:///system" in done.stdout and "CPU socket(s)" in done.stdout


def test_devices_of_the_definition(daemon):
    """attach-device, attach-disk, attach-interface, update-device, detach-* with --config, and addresses that stay."""
    daemon.define("parts", kernel=IDLE, initrd="", memory=16)
    path = f"{daemon.folder}/rng.xml"
    with open(path, "w", encoding="utf-8") as file:
        file.write("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
    daemon.virsh(f"attach-device parts {path} --config")
    daemon.virsh("attach-disk parts /srv/a.img vda --config --subdriver raw")
    daemon.virsh("attach-disk parts /srv/b.img vdb --config --subdriver raw")
    daemon.virsh("attach-interface parts bridge br0 --model virtio --mac 52:54:00:aa:bb:cc --config")
    text = daemon.virsh("dumpxml parts")
    address = re.search(r"<target dev='vdb' bus='virtio'/>\s*(<address [^>]*>)", text).group(1)
    assert "<rng model='virtio'>" in text and "<mac address='52:54:00:aa:bb:cc'/>" in text
    daemon.virsh("detach-disk parts vda --config")
    assert address in daemon.virsh("dumpxml parts")
    with open(path, "w", encoding="utf-8") as file:
        file.write("<interface type='bridge'><mac address='52:54:00:aa:bb:cc'/><source bridge='br0'/><model type='virtio'/>"
                   "<link state='down'/></interface>")
    daemon.virsh(f"update-device parts {path} --config")
    assert "<link state='down'/>" in daemon.virsh("dumpxml parts")
    daemon.virsh("detach-interface parts bridge --mac 52:54:00:aa:bb:cc --config")
    daemon.virsh("detach-disk parts vdb --config")
    left = daemon.virsh("dumpxml parts")
    assert "<disk" not in left and "<interface" not in left
    assert "Failed to get disk information" in daemon.fails("detach-disk parts vdb --config")
    with open(path, "w", encoding="utf-8") as file:
        file.write("<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>")
    daemon.virsh(f"detach-device parts {path} --config")
    assert "<rng" not in daemon.virsh("dumpxml parts")
    assert "not found" in daemon.fails(f"detach-device parts {path} --config")
    daemon.virsh("undefine parts")


def test_events_are_told(daemon):
    """event --all sees a guest's life; so do callbacks of the bindings, in order."""
    daemon.define("heard", kernel=IDLE, initrd="", memory=16)
    with subprocess.Popen(["virsh", "-c", URI, "event", "--all", "--timeout", str(int(places.COMMAND_SECONDS))],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watcher:
        libvirt.virEventRegisterDefaultImpl()
        ended = threading.Event()
        seen = []

        def loop():
            while not ended.is_set():
                libvirt.virEventRunDefaultImpl()

        timer = libvirt.virEventAddTimeout(100, lambda *_: None, None)
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        connection = libvirt.open(URI)
        connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                          lambda _c, domain, event, detail, _o: seen.append((domain.name(), event, detail)), None)
        path = idle_file(daemon, "lively")

        def life():
            daemon.virsh(f"define {path}")
            daemon.virsh("start lively")
            daemon.virsh("suspend lively")
            daemon.virsh("resume lively")
            daemon.virsh("destroy lively")
            daemon.virsh("undefine lively")

        life()
        # as the qemu driver tells them: a guest starts paused and is resumed before its start is told
        kinds = [libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_STARTED,
                 libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_SHUTDOWN,
                 libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_UNDEFINED]

        def of_interest():
            return [event for name, event, _ in seen if name == "lively"]

        until(lambda: of_interest()[-1:] == kinds[-1:], "the last event", places.COMMAND_SECONDS)
        assert of_interest() == kinds
        assert ("lively", libvirt.VIR_DOMAIN_EVENT_STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED) in seen
        ended.set()
        thread.join(places.COMMAND_SECONDS)
        libvirt.virEventRemoveTimeout(timer)
        connection.close()

        def told_of_one():
            daemon.virsh("start heard --paused")
            daemon.virsh("destroy heard")
            return watcher.poll() is not None

        until(told_of_one, "virsh event ends with the first one", places.COMMAND_SECONDS)
        told = watcher.stdout.read()
    assert re.search(r"^event '[a-z-]+' for domain '(heard|lively)'", told, re.MULTILINE)
    daemon.virsh("undefine heard")


def test_shares_and_limits_reach_the_control_group(daemon, idle):
    """schedinfo, memtune and blkiotune: the kernel's files say the same; a limit of the definition is there at the start."""
    group = CGROUPS + status_attribute(daemon, idle, "cgroup")
    assert f"{process_of(daemon, idle)}" in read(f"{group}/cgroup.procs").split()
    daemon.virsh(f"schedinfo {idle} --live --set cpu_shares=321")
    assert read(f"{group}/cpu.weight") == "321"
    daemon.virsh(f"schedinfo {idle} --live --set global_quota=50000")
    assert read(f"{group}/cpu.max") == "50000 100000"
    daemon.virsh(f"schedinfo {idle} --live --set vcpu_quota=20000")
    assert read(f"{group}/vcpu0/cpu.max") == "20000 100000"
    assert len(read(f"{group}/vcpu0/cgroup.threads").split()) == 1
    daemon.virsh(f"schedinfo {idle} --live --set vcpu_quota=-1")
    assert read(f"{group}/vcpu0/cpu.max") == "max 100000"
    told = daemon.virsh(f"schedinfo {idle} --live")
    assert re.search(r"^cpu_shares +: 321$", told, re.MULTILINE) and re.search(r"^global_quota +: 50000$", told, re.MULTILINE)
    daemon.virsh(f"memtune {idle} --hard-limit 1048576 --live")
    assert read(f"{group}/memory.max") == str(1 << 30)
    assert re.search(r"^hard_limit +: 1048576$", daemon.virsh(f"memtune {idle} --live"), re.MULTILINE)
    assert "range" in daemon.fails(f"schedinfo {idle} --live --set vcpu_period=1")
    daemon.virsh(f"schedinfo {idle} --config --set cpu_shares=77")
    daemon.virsh(f"memtune {idle} --soft-limit 524288 --config")
    assert "<shares>77</shares>" in daemon.virsh(f"dumpxml {idle} --inactive")
    daemon.virsh(f"destroy {idle}")
    assert not os.path.exists(group)
    daemon.virsh(f"start {idle}")
    group = CGROUPS + status_attribute(daemon, idle, "cgroup")
    assert read(f"{group}/cpu.weight") == "77"
    assert read(f"{group}/memory.high") == str(1 << 29)


def read(path):
    """A kernel's file."""
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def test_blkiotune_and_numatune_of_the_definition(daemon):
    """What is set is told again, and mistakes are refused."""
    daemon.define("tuned", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("blkiotune tuned --weight 500 --config")
    daemon.virsh("blkiotune tuned --device-read-bytes-sec /dev/vda,1048576 --config")
    told = daemon.virsh("blkiotune tuned --config")
    assert re.search(r"^weight +: 500$", told, re.MULTILINE) and "/dev/vda,1048576" in told
    daemon.virsh("numatune tuned --nodeset 0 --mode strict --config")
    told = daemon.virsh("numatune tuned --config")
    assert re.search(r"^numa_nodeset +: 0$", told, re.MULTILINE) and re.search(r"^numa_mode +: strict$", told, re.MULTILINE)
    daemon.virsh("undefine tuned")


def test_a_guest_of_its_client_ends_with_it(daemon):
    """create --autodestroy: the guest lives as long as the connection."""
    connection = libvirt.open(URI)
    with open(idle_file(daemon, "bound"), encoding="utf-8") as file:
        connection.createXML(file.read(), libvirt.VIR_DOMAIN_START_AUTODESTROY)
    pid = process_of(daemon, "bound")
    connection.close()
    until(lambda: not alive(pid), "its monitor ends", places.COMMAND_SECONDS)
    until(lambda: "bound" not in daemon.virsh("list --all --name").split(), "it is forgotten", places.COMMAND_SECONDS)


def test_monitor_commands_pass_through(daemon, idle):
    """qemu-monitor-command asks the monitor itself."""
    assert '"running":true' in daemon.virsh(f"qemu-monitor-command {idle}", '{"execute": "query-status"}').replace(" ", "")
    assert "CommandNotFound" in daemon.virsh(f"qemu-monitor-command {idle} nonsense")


def test_autostart_starts_with_the_host_once(daemon):
    """Guests of autostart start with the first daemon of a host's life, not with a later one."""
    daemon.define("early", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("autostart early")
    daemon.stop()
    os.unlink(f"{daemon.folder}/run/autostarted")
    daemon.start()
    until(lambda: daemon.state("early").startswith("running"), "it starts", places.COMMAND_SECONDS)
    until(lambda: os.path.exists(f"{daemon.folder}/run/autostarted"), "all are started", places.COMMAND_SECONDS)
    daemon.virsh("destroy early")
    daemon.stop()
    daemon.start()
    assert daemon.state("early").startswith("shut off")
    daemon.virsh("autostart early --disable")
    daemon.virsh("undefine early")


def test_a_stopped_monitor_does_not_hold_up_queries(daemon, idle):
    """list, dominfo, dumpxml, domstats of all and destroy answer while a monitor is stopped."""
    daemon.define("stuck", kernel=IDLE, initrd="", memory=16)
    daemon.virsh("start stuck")
    os.kill(process_of(daemon, "stuck"), 19)
    assert "stuck" in daemon.virsh("list") and idle in daemon.virsh("list")
    assert "stuck" in daemon.virsh("dumpxml stuck")
    assert re.search(r"^State: +running$", daemon.virsh("dominfo stuck"), re.MULTILINE)
    assert "state.state=1" in daemon.virsh(f"domstats {idle} --nowait")
    daemon.virsh("destroy stuck")
    daemon.virsh("undefine stuck")
