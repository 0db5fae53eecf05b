#!/usr/bin/env bash
# A pre-trained and a robustly trained Multi-HMR on Anny go the way of any other model: training, bundle with its parity
# gate, precisions with their verdict on real frames, the runtime.
#
#   bench/trained_variants.sh DATA PICTURES OUT [STEPS] [PAIRS]
#
#   DATA      folder with the samples train and val (humanrt-export data people)
#   PICTURES  video, folder or image of people, for the verdicts and the run: ../shared/media/people.jpg
#   OUT       folder for runs, bundles and records; what is there is gone on with
#   STEPS     of each training (default: 400); PAIRS of each kind (default: 1000)
#
# The robust variant begins with the pre-trained one and goes on under attack, which takes a third of the steps.
# PYTHON names the interpreter (default: python3), SIZE, BACKBONE, BATCH and DEVICE the scale, WEIGHTS what completion
# begins with (`none`: nothing), MORE further options of every training, NETWORK of `train multihmr`'s; on a GPU, with
# DINOv2's weights at hand:
#   SIZE=448 BACKBONE=dinov2_vits14 WEIGHTS=dinov2_vits14_pretrain.pth BATCH=32 DEVICE=cuda \
#       bench/trained_variants.sh people people.jpg variants 20000 50000
set -euo pipefail
[ $# -ge 3 ] || { sed -n '5,17p' "$0" | cut -c3- >&2; exit 2; }
data=$1 pictures=$2 out=$3 steps=${4:-400} pairs=${5:-1000}
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3} size=${SIZE:-224} backbone=${BACKBONE:-mediapipe14} batch=${BATCH:-16} device=${DEVICE:-cpu}
case $backbone in
    mediapipe14) default=$root/engines/landmarks/body_landmarks.onnx.z ;;
    *) default=none ;;
esac
weights=${WEIGHTS:-$default}
read -rd '' -a more <<<"${MORE:-}" || true
read -rd '' -a network <<<"${NETWORK:-}" || true
export PYTHONPATH="$root/runtime:$root/export${PYTHONPATH:+:$PYTHONPATH}"
make() { "$python" -m humanrt_export.cli "$@"; }
whole() { # a run that was stopped is not built upon
    "$python" - "$1" <<'END' || { echo "$1: stopped before its end; the same command goes on" >&2; exit 1; }
import sys
from pathlib import Path
from humanrt_export.training.loop import load_run
about, _, step = load_run(Path(sys.argv[1]))
sys.exit(step < about["options"]["steps"])
END
}

for kind in view pose; do
    make data people --pairs "$kind" --count "$pairs" --most 2 --seed 7 --out "$out/pairs-$kind"
done
common=(--backbone "$backbone" --image-size "$size" --batch "$batch" --device "$device")
start=()
[ "$weights" = none ] || start=(--backbone-weights "$weights")
make train crossview --view "$out/pairs-view" --pose "$out/pairs-pose" "${common[@]}" "${start[@]}" \
    --width 192 --depth 4 --heads 6 --steps "$steps" --out "$out/crossview" "${more[@]}"
whole "$out/crossview"

case $backbone in
    vitn14 | mediapipe14) common+=(--width 256 --depth 2 --heads 8 --mlp 512) ;;
esac
common+=(--data "$data" "${network[@]}" "${more[@]}")
make train multihmr "${common[@]}" --steps "$steps" --backbone-weights "$out/crossview/backbone.pt" \
    --out "$out/pretrained"
whole "$out/pretrained"
make train multihmr "${common[@]}" --steps $((steps / 3 + 1)) --start-from "$out/pretrained" \
    --adversarial n-fgsm --epsilon 4 --clean 0.25 --out "$out/robust"
whole "$out/robust"

status=0
for variant in pretrained robust; do
    bundle=$out/multihmr-anny-$variant
    [ -f "$bundle/manifest.json" ] ||
        make multihmr --body anny --name "multihmr-anny-$variant" --out "$bundle" "$out/$variant"
    for precision in fp16 int8-cpu; do # says what the verdict is; 1 where it was not passed
        make quantize "$bundle" --precision "$precision" --calibration "$pictures" || status=1
    done
    "$python" -m humanrt run "$pictures" --task people --bundle "$bundle" --headless --record "$out/$variant.jsonl"
    echo "$variant: $(grep -o '"head_2d"' "$out/$variant.jsonl" | wc -l) people found in $pictures"
done
exit $status
