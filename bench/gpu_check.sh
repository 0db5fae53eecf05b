#!/bin/sh
# Everything that needs a GPU, in one command: kernels compiled, tests marked gpu, verdicts and benchmarks.
#
#   bench/gpu_check.sh [OUT]      OUT: folder for results (default: gpu_check)
#
# Uses what the machine has and fetches nothing, but for pycuda, which is compiled from WHEELS if it is missing
# (WHEELS: a folder with its sdist and those that it needs). Steps that cannot run say why; the status is that of the
# tests. Each step has its own limit, together under 8 minutes.
set -u
cd "$(dirname "$0")/.."
out=${1:-gpu_check}
mkdir -p "$out"
python=${PYTHON:-python3}
export PYTHONPATH=runtime:export
export HUMANRT_CACHE="$PWD/$out/cache"

step() { # name, seconds, command...
    name=$1 limit=$2
    shift 2
    begin=$(date +%s)
    timeout "$limit" "$@" >"$out/$name.log" 2>&1
    status=$?
    end=$(date +%s)
    printf '%s\t%s\t%s\n' "$name" "$status" "$((end - begin))" >>"$out/steps.tsv"
    printf '%-12s status %s, %s s: %s\n' "$name" "$status" "$((end - begin))" "$(tail -n 1 "$out/$name.log")"
    return $status
}

: >"$out/steps.tsv"
if ! "$python" -c 'import pycuda' 2>/dev/null && [ -n "${WHEELS:-}" ]; then
    step pycuda 240 "$python" -m pip install --no-index --find-links "$WHEELS" pycuda
fi
step machine 20 sh -c 'nvidia-smi --query-gpu=name,driver_version,compute_cap,clocks.max.sm --format=csv,noheader && nvcc --version | tail -n 1'
step doctor 60 "$python" -m humanrt doctor
step tests 240 "$python" -m pytest -m gpu tests/gpu -q
tested=$?
for bundle in ${BUNDLES:-engines/hands}; do
    step "verdict-$(basename "$bundle")" 90 "$python" -m humanrt.backends.verdict "$bundle"
done
step hands 60 "$python" -m humanrt bench hands --json "$out/hands.json"

"$python" - "$out" <<'PY'
import json, platform, sys, time
from pathlib import Path

out = Path(sys.argv[1])
steps = [line.split("\t") for line in (out / "steps.tsv").read_text().splitlines()]
result = {
    "date": time.strftime("%Y-%m-%d"), "python": platform.python_version(),
    "machine": (out / "machine.log").read_text().strip(),
    "steps": [{"name": n, "status": int(s), "seconds": int(t), "log": (out / f"{n}.log").read_text()[-4000:]}
              for n, s, t in steps],
}
(out / "gpu_check.json").write_text(json.dumps(result, indent=1) + "\n")
rows = ["| step | status | s |", "| --- | --- | --- |", *(f"| {n} | {s} | {t} |" for n, s, t in steps)]
(out / "gpu_check.md").write_text("\n".join(rows) + "\n")
PY
exit $tested
