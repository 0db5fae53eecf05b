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
# PYTHON names the interpreter (default: python3), SIZE, BACKBONE, BATCH and DEVICE the scale; on a GPU:
#   SIZE=448 BACKBONE=dinov2_vits14 BATCH=32 DEVICE=cuda bench/trained_variants.sh people people.jpg variants 20000 50000
set -euo pipefail
[ $# -ge 3 ] || { sed -n '5,14p' "$0" | cut -c3- >&2; exit 2; }
data=$1 pictures=$2 out=$3 steps=${4:-400} pairs=${5:-1000}
python=${PYTHON:-python3} size=${SIZE:-224} backbone=${BACKBONE:-vitn14} batch=${BATCH:-16} device=${DEVICE:-cpu}
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root/runtime:$root/export${PYTHONPATH:+:$PYTHONPATH}"
make() { "$python" -m humanrt_export.cli "$@"; }

for kind in view pose; do
    make data people --pairs "$kind" --count "$pairs" --most 2 --seed 7 --out "$out/pairs-$kind"
done
make train crossview --view "$out/pairs-view" --pose "$out/pairs-pose" --backbone "$backbone" --image-size "$size" \
    --width 192 --depth 4 --heads 6 --steps "$steps" --batch "$batch" --device "$device" --out "$out/crossview"

network=(--data "$data" --backbone "$backbone" --image-size "$size" --steps "$steps" --batch "$batch" --device "$device")
[ "$backbone" = vitn14 ] && network+=(--width 256 --depth 2 --heads 8 --mlp 1024)
make train multihmr "${network[@]}" --backbone-weights "$out/crossview/backbone.pt" --out "$out/pretrained"
make train multihmr "${network[@]}" --adversarial n-fgsm --epsilon 4 --clean 0.25 --out "$out/robust"

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
