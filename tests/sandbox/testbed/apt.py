"""Where this machine has Debian's packages from."""
import glob
import os


def sources():
    """The machine's own sources of Debian, as one text."""
    texts = []
    for name in [*sorted(glob.glob("/etc/apt/sources.list.d/*")), "/etc/apt/sources.list"]:
        if name.endswith((".sources", ".list")) and os.path.exists(name):
            with open(name) as file:
                texts.append(file.read())
    return "\n".join(text for text in texts if "bookworm" in text)
