"""The wheel, built from the checkout and installed in a fresh environment away from it, does the whole demo.

Run by CI (`make wheel-check`). It also holds the lean runtime to its promises: installed size, import time, and
what an import must not load. With --sizes FILE it writes the table of installed sizes for the documentation.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT_MB = 380
IMPORT_LIMIT_S = 0.5
HEAVY = ("torch", "onnx", "matplotlib", "scipy.optimize", "pygame")

PROBE = f"""
import json, os, subprocess, sys
from importlib import metadata
def cost(code):  # CPU seconds, whoever else keeps the machine busy
    before = sum(os.times()[2:4])
    subprocess.run([sys.executable, "-c", code], check=True)
    return sum(os.times()[2:4]) - before
own = "import humanrt; humanrt.HandTracker; humanrt.Retargeter"
import_s = min(cost(own) for _ in range(3)) - min(cost("") for _ in range(3))
import humanrt
humanrt.HandTracker, humanrt.Retargeter
sizes = {{}}
for d in metadata.distributions():
    files = [d.locate_file(f) for f in d.files or ()]
    sizes[d.metadata["Name"]] = sum(f.stat().st_size for f in files if f.is_file()) / 1e6
loaded = [name for name in {HEAVY!r} if name in sys.modules]
kernel = humanrt.Retargeter("allegro_right").kernel
found = {{"sizes": sizes, "import_s": import_s, "loaded": loaded, "kernel": kernel, "at": humanrt.__file__}}
print(json.dumps(found))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=Path, help="write the table of installed sizes here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="humanrt-wheel-") as temporary:
        folder = Path(temporary)
        subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], check=True)
        (wheel,) = folder.glob("*.whl")
        print(f"built {wheel.name}, {wheel.stat().st_size / 1e6:.1f} MB")
        venv.create(folder / "env", with_pip=True)
        scripts = folder / "env" / ("Scripts" if sys.platform == "win32" else "bin")
        python = scripts / "python"
        subprocess.run([python, "-m", "pip", "install", "-q", wheel], check=True)
        away = folder / "away"
        away.mkdir()
        subprocess.run([scripts / "humanrt", "demo", "--headless", "--out", "out"], cwd=away, check=True)
        made = sorted(path.name for path in (away / "out").iterdir() if path.stat().st_size > 1000)
        probe = subprocess.run([python, "-c", PROBE], cwd=away, check=True, capture_output=True, text=True)
        found = json.loads(probe.stdout)
        doctor = subprocess.run([scripts / "humanrt", "doctor"], cwd=away, capture_output=True, text=True)
    sizes = {name: size for name, size in found["sizes"].items() if name not in ("pip", "setuptools")}
    rows = [f"| {name} | {size:.1f} |" for name, size in sorted(sizes.items(), key=lambda item: -item[1])]
    text = "\n".join(["| package | MB |", "| --- | --- |", *rows, f"| **together** | **{sum(sizes.values()):.0f}** |"])
    print(text)
    if arguments.sizes:
        arguments.sizes.write_text(text + "\n", encoding="utf-8")
    checks = {
        f"demo wrote its video, picture and record ({', '.join(made)})": made == ["demo.jsonl", "demo.mp4", "demo.png"],
        f"installed away from the checkout ({found['at']})": str(ROOT) not in found["at"],
        f"lean runtime under {LIMIT_MB} MB ({sum(sizes.values()):.0f})": sum(sizes.values()) < LIMIT_MB,
        f"import under {IMPORT_LIMIT_S} s ({found['import_s']:.2f})": found["import_s"] < IMPORT_LIMIT_S,
        f"import loads none of {', '.join(HEAVY)} ({found['loaded'] or 'none'})": not found["loaded"],
        f"the compiled solver came along ({found['kernel']})": found["kernel"] == "native",
        "doctor finds nothing broken": doctor.returncode == 0,
    }
    for what, ok in checks.items():
        print(f"{'ok  ' if ok else 'FAIL'} {what}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
