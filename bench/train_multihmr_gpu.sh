#!/bin/sh
# Multi-HMR (ViT-S) on Anny, trained on a borrowed GPU, in chunks of less than 10 minutes that go on where they ended.
#
#   bench/train_multihmr_gpu.sh OUT     run it again and again on the same machine, until it says that it is done
#
# Each run: samples are rendered in the background (by EGL, on this machine) while the network trains on those that are
# there; after CHUNK seconds the averaged weights are left in OUT as FP16, in pieces of at most 15 MiB, with their
# hashes. Where they were brought to, one line joins and checks them, and the next gives a bundle:
#
#   python -m humanrt_export.pieces join OUT/weights.pt.json .
#   humanrt-export multihmr weights.pt --body anny --small --name multihmr-anny --out engines/multihmr-anny
#
# What a run leaves in STATE (checkpoint with the optimiser's state, samples) is what the next one goes on with. On a
# machine that has none of it, WEIGHTS (a joined weights.pt of earlier) is what it starts from, with a new schedule.
#
# Variables, with their defaults for one H100 or H200; nothing is fetched:
#   STATE=gpu_state  PYTHON=python3  CHUNK=480 (s of a run)  STEPS=40000  BATCH=64  SAMPLES=60000  RENDERERS=12
#   MOTIONS= (recordings, e.g. cmu_asfamc.tar.xz; without: joint limits)  SHARDS= (a folder with train and val: no rendering)
#   CACHE= (holds anny/*.npz, humanrt's cache: body models without the package `anny`)  WEIGHTS=  DEVICE=cuda
#   MODEL="--backbone dinov2_vits14 --image-size 448 --width 384 --depth 4 --heads 12 --mlp 1536"  MUON=--muon (empty: AdamW)  MORE= (options of train)
set -eu
cd "$(dirname "$0")/.."
out=${1:?usage: bench/train_multihmr_gpu.sh OUT}
state=${STATE:-gpu_state} python=${PYTHON:-python3} chunk=${CHUNK:-480} device=${DEVICE:-cuda}
steps=${STEPS:-40000} batch=${BATCH:-64} samples=${SAMPLES:-60000} renderers=${RENDERERS:-12} held=${HELD:-512}
size=${SIZE:-448} shard=${SHARD:-128}
model=${MODEL:---backbone dinov2_vits14 --image-size 448 --width 384 --depth 4 --heads 12 --mlp 1536}
export PYTHONPATH=runtime:export OMP_NUM_THREADS=1
[ -z "${CACHE:-}" ] || export HUMANRT_CACHE="$CACHE"
begin=$(date +%s)
mkdir -p "$state" "$out"

render() { # part, seed, first, count: in the background; what is there already stays
    "$python" -m humanrt_export.cli data people --out "$data/$1" --part "$1" --seed "$2" --from "$3" --count "$4" \
        --size "$size" --shard "$shard" ${MOTIONS:+--motions "$MOTIONS"} >>"$state/render.log" 2>&1
}

if [ -n "${SHARDS:-}" ]; then
    data=$SHARDS
else
    data=$state/data
    # The first shards must be there before anything can be trained on; a machine that cannot render says so here.
    render val 2 0 "$held" || { tail -n 3 "$state/render.log"; echo "cannot render here: bring shards, SHARDS=DIR"; exit 1; }
    render train 1 0 "$shard"
    each=$(((samples / renderers + shard - 1) / shard * shard))
    worker=0 pids=
    while [ "$worker" -lt "$renderers" ]; do
        render train 1 $((worker * each)) "$each" &
        pids="$pids $!"
        worker=$((worker + 1))
    done
    trap 'kill $pids 2>/dev/null || true' EXIT
    # Enough for the first steps not to see the same few pictures.
    until [ "$(ls "$data/train" | grep -c '^shard')" -ge "${FIRST:-16}" ]; do
        [ $(($(date +%s) - begin)) -lt $((chunk / 2)) ] || break
        sleep 2
    done
fi

left=$((chunk - ($(date +%s) - begin)))
if [ "$left" -le 0 ]; then
    echo "rendering took the whole CHUNK of $chunk s: run it again, what is there stays; or give it longer, or SHARDS=DIR"
    exit 3
fi
# shellcheck disable=SC2086
"$python" -m humanrt_export.cli train multihmr --data "$data" --out "$state/run" $model --device "$device" \
    --steps "$steps" --batch "$batch" --minutes "$((left / 60)).$(printf %02d $((left % 60 * 100 / 60)))" --workers "${WORKERS:-4}" ${MUON---muon} --rate "${RATE:-5e-4}" \
    ${WEIGHTS:+--start-from "$WEIGHTS"} ${MORE:-}

"$python" - "$state/run" "$out" <<'PY'
import shutil, sys
from pathlib import Path

from humanrt_export.networks.multihmr_anny import load_checkpoint, save_checkpoint
from humanrt_export.pieces import split

run, out = map(Path, sys.argv[1:])
model, about = load_checkpoint(run)
with_out = save_checkpoint(run / "weights.pt", model.half(), about)
print(split(with_out, out), f"{with_out.stat().st_size / 2**20:.1f} MiB")
for name in ("log.jsonl", "about.json"):
    shutil.copy(run / name, out / name)
PY
ls -l "$out"
