#!/usr/bin/env bash
# Train the checkpoints of Table 2 and Figures 4, 5, 12 and 13, from the base model that scripts/train_mini.sh left in runs/:
#   sbd-no-ntp    set block decoding without the gradient of the next-token term (Table 2, Figure 4)
#   sbd-quarter   SBD for a quarter of the steps      } each with its own warm-up and cosine decay, as the paper's
#   sbd-half      SBD for half of the steps           } three lengths (Figures 5, 12, 13)
#   scripts/train_mini_study.sh llama [sbd-no-ntp|sbd-quarter|sbd-half ...]     (all three by default; qwen3 likewise)
# Started again after an interruption it goes on where it was. Copies what is finished to harness/mini/weights.
set -euo pipefail
model=${1:?usage: scripts/train_mini_study.sh llama|qwen3 [sbd-no-ntp|sbd-quarter|sbd-half ...]}
shift
[ $# -gt 0 ] || set -- sbd-no-ntp sbd-quarter sbd-half
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
config="configs/mini/$model.yaml"
steps=$(sed -n 's/^steps: *\([0-9]*\).*/\1/p' "$config")
for name in "$@"; do
  case $name in
    sbd-no-ntp) settings=(--set objective=sbd-no-ntp) ;;
    sbd-quarter) settings=(--set "steps=$((steps / 4))") ;;
    sbd-half) settings=(--set "steps=$((steps / 2))") ;;
    *) echo "unknown checkpoint '$name': choose sbd-no-ntp, sbd-quarter or sbd-half" >&2; exit 2 ;;
  esac
  run="runs/$model-mini/$name"
  [ -f "$run/training.json" ] || python -m sbd.training --config "$config" --set "output=$run" "${settings[@]}"
  mkdir -p "harness/mini/weights/$model-mini/$name"
  cp "$run"/*.json "$run"/*.jsonl "$run"/*.safetensors "harness/mini/weights/$model-mini/$name/"
done
