"""Ring layouts, register layouts and interrupts that a usual guest does not choose: disk and network work over each of them."""
import pytest
from support import disks, fio, network, places
from support.mirror import Mirror, check_round_trip

# name: (machine, options of the data disk and the NIC, words for the guest's kernel, a word in the guest's interrupt list)
VARIANTS = {
    "packed": ("microvm", "ring=packed", "", "MSI"),
    "packed, no event index, INTx": ("microvm", "ring=packed,event_index=off,indirect=off", "pci=nomsi", "virtio"),
    "split, no event index, no indirect, INTx": ("pc", "version=modern,event_index=off,indirect=off", "pci=nomsi", "IO-APIC"),
    "transitional device, legacy driver": ("pc", "version=transitional", "virtio_pci.force_legacy=1", "MSI"),
    "legacy device": ("pc", "version=legacy", "", "MSI"),
    "legacy device, INTx": ("pc", "version=legacy,event_index=off", "pci=nomsi", "IO-APIC"),
}

VIRTIO_F_VERSION_1 = 32
VIRTIO_F_RING_PACKED = 34


def negotiated(guest, path):
    """The feature bits that driver and device agreed on."""
    text = guest.run(f"cat {path}/features; echo").strip()
    return {number for number, bit in enumerate(text) if bit == "1"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_disk_and_network(vmm, base_image, empty_disk, variant):
    """fio verifies, TCP returns what was sent, and the host sees the disk's contents."""
    kind, options, words, interrupt = VARIANTS[variant]
    tap = network.Tap()
    data = empty_disk(8)
    machine = vmm(
        machine=kind,
        cpus=2,
        agent=True,
        kernel=places.KERNEL_ELF,
        disks=[f"path={base_image},read_only=on", f"path={data},{options}"],
        nets=[f"{tap.option},{options}"],
        network=tap,
        append=f"ro {tap.append} {words}",
    )
    mirror = Mirror(tap)
    try:
        guest = machine.guest
        for path in ("/sys/class/block/vdb/device", "/sys/class/net/eth0/device"):
            features = negotiated(guest, path)
            assert (VIRTIO_F_RING_PACKED in features) == ("packed" in options), (path, features)
            assert (VIRTIO_F_VERSION_1 in features) == ("legacy" not in options and "legacy" not in words), (path, features)
        interrupts = guest.run("grep virtio /proc/interrupts")
        assert interrupt in interrupts and (("MSI" in interrupts) == ("nomsi" not in words)), interrupts
        fio.write_and_verify(guest, "/dev/vdb", mebibytes=4)
        assert " 0% packet loss" in guest.run(f"ping -c 2 -i 0.2 -s 20000 {tap.gateway}")
        check_round_trip(guest, tap.gateway, 4096)
        seen = fio.device_sha256(guest, "/dev/vdb")
        machine.power_down()
        assert disks.sha256(data) == seen
    finally:
        mirror.close()
        machine.kill()
        tap.close()
