"""vCPUs of a running guest through stock virsh: the guest, the threads and the definition agree."""
import re

import pytest
from support import hotplug
from support.daemon import Console
from support import places

WORDS = f"{places.APPEND} lodge.agent=1 ro"
ONLINE = "f=/sys/devices/system/cpu/cpu%d/online; [ -e $f ] && echo 1 > $f"


@pytest.fixture(scope="module")
def web(daemon, base_image):
    """A guest that has one vCPU of four, and its console."""
    daemon.define("web", append=WORDS, machine="pc", vcpus=4, devices=f"""
      <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{base_image}'/><target dev='vda' bus='virtio'/><readonly/></disk>""")
    daemon.virsh("setvcpus web 1 --config")
    daemon.virsh("start web")
    console = Console("web")
    console.guest.wait_until_up()
    yield console.guest
    console.close()


def counts(daemon):
    """vcpucount's table: {(maximum|current, config|live): number}."""
    rows = re.findall(r"^(maximum|current) +(config|live) +(\d+)$", daemon.virsh("vcpucount web"), re.MULTILINE)
    return {(what, where): int(number) for what, where, number in rows}


def test_definitions_count_as_libvirt_does(daemon):
    """--maximum, --config, --hotpluggable and setvcpu change the definition; what cannot be is refused in libvirt's words."""
    daemon.define("kept", vcpus=2)
    daemon.virsh("setvcpus kept 4 --config --maximum")
    assert "<vcpu placement='static' current='2'>4</vcpu>" in daemon.virsh("dumpxml kept")
    daemon.virsh("setvcpus kept 3 --config --hotpluggable")
    text = daemon.virsh("dumpxml kept")
    assert "current='3'>4</vcpu>" in text and "<vcpu id='2' enabled='yes' hotpluggable='yes'/>" in text
    daemon.virsh("setvcpu kept 3 --config --enable")
    daemon.virsh("setvcpu kept 1 --config --disable")
    text = daemon.virsh("dumpxml kept")
    assert "<vcpu id='1' enabled='no' hotpluggable='yes'/>" in text and "<vcpu id='3' enabled='yes' hotpluggable='yes'/>" in text
    assert "vCPU '0' can't be modified" in daemon.fails("setvcpu kept 0 --config --disable")
    assert "not present in persistent config" in daemon.fails("setvcpu kept 9 --config --enable")
    assert "greater than max allowable vcpus for the persistent domain: 5 > 4" in daemon.fails("setvcpus kept 5 --config")
    assert "domain is not running" in daemon.fails("setvcpus kept 2 --live")
    daemon.virsh("undefine kept")


def test_vcpus_come_work_and_go(daemon, web):
    """setvcpus --live; the guest, vcpuinfo, vcpucount, domstats and the live XML show it."""
    assert counts(daemon) == {("maximum", "config"): 4, ("maximum", "live"): 4, ("current", "config"): 1, ("current", "live"): 1}
    daemon.virsh("setvcpus web 3 --live")
    for index in (1, 2):
        hotplug.wait_for(web, ONLINE % index)
    assert web.run("cat /sys/devices/system/cpu/online") == "0-2\n"
    assert web.run("taskset -c 2 echo works") == "works\n"
    assert counts(daemon)[("current", "live")] == 3 and counts(daemon)[("current", "config")] == 1
    assert len(re.findall(r"^VCPU:", daemon.virsh("vcpuinfo web"), re.MULTILINE)) == 3
    stats = daemon.virsh("domstats web --vcpu")
    assert "vcpu.current=3" in stats and "vcpu.maximum=4" in stats and "vcpu.2.state=1" in stats
    text = daemon.virsh("dumpxml web")
    assert "current='3'>4</vcpu>" in text and "<vcpu id='2' enabled='yes' hotpluggable='yes' order='3'/>" in text
    daemon.virsh("setvcpus web 2 --live --config")
    assert web.run("cat /sys/devices/system/cpu/online") == "0-1\n"
    assert counts(daemon) == {("maximum", "config"): 4, ("maximum", "live"): 4, ("current", "config"): 2, ("current", "live"): 2}


def test_single_vcpus_are_chosen(daemon, web):
    """setvcpu leaves a gap in their numbers."""
    daemon.virsh("setvcpu web 3 --live --enable")
    hotplug.wait_for(web, ONLINE % 3)
    daemon.virsh("setvcpu web 1 --live --disable")
    assert web.run("cat /sys/devices/system/cpu/online") == "0,3\n"
    assert "already in requested state" in daemon.fails("setvcpu web 1 --live --disable")
    assert [int(number) for number in re.findall(r"^VCPU: +(\d+)$", daemon.virsh("vcpuinfo web"), re.MULTILINE)] == [0, 3]


def test_what_cannot_be_is_refused_in_libvirts_words(daemon, web):
    """More than the maximum, the first vCPU, vCPUs that stay."""
    assert "greater than max allowable vcpus for the live domain: 5 > 4" in daemon.fails("setvcpus web 5 --live")
    assert "vCPU '0' can't be modified" in daemon.fails("setvcpu web 0 --live --disable")
    assert "not present in live config" in daemon.fails("setvcpu web 4 --live --enable")
    assert web.run("cat /sys/devices/system/cpu/online") == "0,3\n"


def test_a_reboot_without_an_agent_starts_the_guest_anew(daemon, web):
    """The button, then a reset in place of the end: the same process, the same vCPUs; the next shutdown is one."""
    before = daemon.virsh("domid web")
    web.listening = False
    daemon.virsh("reboot web")
    web.wait_until_up(places.BOOT_SECONDS * 2)
    assert daemon.virsh("domid web") == before
    assert len(re.findall(r"^VCPU:", daemon.virsh("vcpuinfo web"), re.MULTILINE)) == 2
    daemon.virsh("set-lifecycle-action web reboot destroy --live")
    assert "<on_reboot>destroy</on_reboot>" in daemon.virsh("dumpxml web")


def test_a_daemon_that_comes_back_knows_the_vcpus(daemon, web):
    """Killed, it finds in its status what came and went; the guest did not notice."""
    assert web.run("echo lives") == "lives\n"
    daemon.kill()
    daemon.start()
    text = daemon.virsh("dumpxml web")
    assert "<vcpu id='1' enabled='no' hotpluggable='yes'/>" in text and "current='2'>4</vcpu>" in text
    assert [int(number) for number in re.findall(r"^VCPU: +(\d+)$", daemon.virsh("vcpuinfo web"), re.MULTILINE)] == [0, 3]
