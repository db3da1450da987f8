#!/usr/bin/env bash
# Make the mini suite's data and train the shipped weights of one model: base, then its SBD and NTP fine-tunings.
#   scripts/train_mini.sh llama        (or qwen3; each uses one thread here, so both can run side by side on two cores)
# Started again after an interruption it goes on where it was. Copies the finished checkpoints to harness/mini/weights.
set -euo pipefail
model=${1:?usage: scripts/train_mini.sh llama|qwen3}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
[ -f data/mini/sft.jsonl ] || python -m harness.mini --out data/mini --sft 400000 --pretrain 200000
run() { # output folder, configuration, further settings
  [ -f "$1/training.json" ] || python -m sbd.training --config "$2" --set "output=$1" "${@:3}"
}
run "runs/$model-mini/base" "configs/mini/$model-base.yaml"
run "runs/$model-mini/sbd" "configs/mini/$model.yaml"
run "runs/$model-mini/ntp" "configs/mini/$model.yaml" --set objective=ntp
for loss in base ntp sbd; do
  mkdir -p "harness/mini/weights/$model-mini/$loss"
  cp -r "runs/$model-mini/$loss/." "harness/mini/weights/$model-mini/$loss/"
done
