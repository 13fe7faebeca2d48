"""configs/machine.schema.json is what lodge-vmm prints, and the examples in configs/ are accepted by it."""
import subprocess

from checks import tracked


def run(tree):
    vmm = tree / "build/release/bin/lodge-vmm"
    if not vmm.exists():
        return ["build/release/bin/lodge-vmm is not built; cmake --build --preset release"]
    complaints = []
    printed = subprocess.run([vmm, "schema"], capture_output=True, text=True, check=False).stdout
    stored = tree / "configs/machine.schema.json"
    if not stored.exists() or stored.read_text() != printed:
        complaints.append("configs/machine.schema.json differs from 'lodge-vmm schema'; write the latter into it")
    for path in tracked("configs/machines/*.json"):
        check = subprocess.run([vmm, "run", "--config", path, "--dry-run"], capture_output=True, text=True, check=False)
        if check.returncode != 0:
            complaints.append(f"{path}: {check.stderr.strip()}")
    return complaints
