"""A Debian kernel boots, sees what it was given, and powers off."""
import pytest
from support.places import BOOT_SECONDS


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_boots_to_agent_and_powers_down(vmm, root_disk, cpus):
    """The guest comes up with its processors and its disk; the power button ends it cleanly."""
    machine = vmm(cpus=cpus, agent=True, disks=[root_disk])
    machine.wait_for_output(r"^LODGE-INIT$")
    assert machine.guest.run("nproc").strip() == str(cpus)
    assert "vda" in machine.guest.run("lsblk --noheadings --output NAME")
    assert machine.control.execute("query-status")["status"] == "running"
    machine.power_down()
    assert "LODGE-POWEROFF" in machine.serial.text


def test_runs_a_script_from_the_initramfs_and_powers_off(vmm):
    """No disk at all: the initramfs does what the command line says; the guest's own power-off ends the process."""
    machine = vmm(append="lodge.mode=initramfs lodge.run=ZWNobyBvbmUtJCgoMSArIDEpKQo=")
    machine.wait_for_output(r"^one-2$")
    machine.wait_for_output(r"^LODGE-EXIT 0$")
    assert machine.wait_exit(BOOT_SECONDS) == 0


def test_pings_its_gateway_over_a_tap(vmm, tap, root_disk):
    """A network card on a tap carries packets both ways."""
    machine = vmm(agent=True, disks=[root_disk], nets=[tap.option], network=tap, append=tap.append)
    assert f"inet {tap.guest_address}/24" in machine.guest.run("ip addr show eth0")
    assert " 0% packet loss" in machine.guest.run(f"ping -c 3 {tap.gateway}")
    assert " 0% packet loss" in tap.run("ping", "-c", "3", tap.guest_address)
    machine.power_down()
