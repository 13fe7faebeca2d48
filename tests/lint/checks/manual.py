"""The manual pages have the options that the programs have, and are formatted without a complaint."""
import re
import shutil
import subprocess

from checks import tracked

# page, program below build/release/bin, its arguments for help
PAGES = (("docs/man/lodge-vmm.1", "lodge-vmm", ["run", "--help"]), ("docs/man/lodge-vnc.1", "lodge-vnc", ["--help"]),
         ("docs/man/virtlodged.8", "virtlodged", ["--help"]))


def documented(text):
    """Long options that have an entry: .It Fl -name, or .It Fl n , Fl -name."""
    lines = [line for line in text.splitlines() if line.startswith(".It Fl ")]
    return {name for line in lines for name in re.findall(r"Fl -([a-z][a-z-]*)", line)}


def offered(program, arguments):
    """Long options that begin a line of the program's help, or that it shows in its usage."""
    text = subprocess.run([program, *arguments], capture_output=True, text=True, check=False).stdout
    names = set(re.findall(r"^  --([a-z][a-z-]*)", text, re.MULTILINE))
    for line in text.splitlines():
        if line.startswith(("usage:", "       ")) and program.name in line:
            names |= set(re.findall(r"--([a-z][a-z-]*)", line))
    return names


def run(tree):
    complaints = []
    for page, name, arguments in PAGES:
        text = (tree / page).read_text()
        program = tree / "build/release/bin" / name
        if not program.exists():
            complaints.append(f"build/release/bin/{name} is not built; cmake --build --preset release")
            continue
        has, says = offered(program, arguments), documented(text) - {"help"}
        if not has:
            complaints.append(f"{name} {' '.join(arguments)} shows no option")
        complaints += [f"{page}: option --{option} of {name} is missing" for option in sorted(has - {"help"} - says)]
        complaints += [f"{page}: {name} has no option --{option}" for option in sorted(says - has)]
    for page in tracked("docs/man/*"):
        if shutil.which("groff"):
            made = subprocess.run(["groff", "-mdoc", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True, check=False)
            complaints += [f"{page}: {line}" for line in made.stderr.splitlines()]
    return complaints
