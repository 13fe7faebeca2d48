"""Where the things under test lie, and how long they may take."""
import os

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
VMM = os.environ.get("LODGE_VMM", f"{TREE}/build/release/bin/lodge-vmm")
GUEST = f"{TREE}/build/guest"
KERNEL = f"{GUEST}/vmlinuz"
KERNEL_ELF = f"{GUEST}/vmlinux"
INITRD = f"{GUEST}/initrd.img"
PC_KERNEL = f"{GUEST}/pc-vmlinuz"
PC_INITRD = f"{GUEST}/pc-initrd.img"
ROOT_IMAGE = f"{GUEST}/root.ext4"

# Part of every Linux guest's command line. The test bed emulates its processor, so mitigations only cost time.
APPEND = "console=ttyS0 quiet panic=-1 mitigations=off nokaslr"

# Time limits are generous: the test bed may be slow, and a limit that is reached is a failure, never tried again.
SCALE = float(os.environ.get("LODGE_TIMEOUT_SCALE", "1"))
BOOT_SECONDS = 90 * SCALE
COMMAND_SECONDS = 60 * SCALE
CONTROL_SECONDS = 20 * SCALE
EXIT_SECONDS = 30 * SCALE
