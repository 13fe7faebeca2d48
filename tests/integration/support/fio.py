"""fio inside a guest."""

VERIFY = "--direct=1 --ioengine=libaio --iodepth=16 --verify=crc32c --verify_fatal=1 --do_verify=1 --output-format=terse"


def write_and_verify(guest, *devices, mebibytes=8, extra="", timeout=180):
    """Random writes of mixed sizes to each device at the same time, then everything is read back and verified."""
    jobs = " ".join(f"--name=job{number} --filename={device}" for number, device in enumerate(devices))
    common = f"--rw=randwrite --bsrange=4k-64k --size={mebibytes}M {VERIFY} {extra}"
    guest.run(f"fio {common} {jobs}", timeout=timeout)


def device_sha256(guest, device):
    """Checksum of a whole device, read past the guest's page cache."""
    return guest.run(f"sync; dd if={device} bs=1M iflag=direct 2>/dev/null | sha256sum", timeout=180).split()[0]
