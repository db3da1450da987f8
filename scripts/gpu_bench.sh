#!/usr/bin/env bash
# Everything of this project that needs a GPU, unattended, in under 9 minutes on one H100: the GPU tests, the sampler's
# kernel, decoding beside transformers' generate, the slowdown sweep with Eq. 16 (an 8B shape with random weights), and
# where time is left the training step with FlexAttention (SmolLM2-135M's shape).
#   scripts/gpu_bench.sh            leaves results/, reports/ and gpu_bench/ (logs, summary.txt) in $OUT, or here
#   DRY=1 OUT=/tmp/dry scripts/gpu_bench.sh    the same steps in small on a CPU, to see that they run
# A step that fails or runs out of its time does not stop the others; summary.txt says so, and the exit code is then 1.
set -uo pipefail
cd "$(dirname "$0")/.."
OUT=${OUT:-.}
LOGS=$OUT/gpu_bench
LIMIT=${LIMIT:-520} # seconds for all steps together
export TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
mkdir -p "$LOGS"
: >"$LOGS/summary.txt"
failed=0

say() { echo "$*" | tee -a "$LOGS/summary.txt"; }

step() { # name, most seconds, command...; its output goes to a log, what it prints as tables to the summary
  local name=$1 most=$2 left=$((LIMIT - SECONDS)) started=$SECONDS code
  shift 2
  [ "$left" -lt 10 ] && { say "== $name: left out, no time left"; failed=1; return; }
  [ "$most" -gt "$left" ] && most=$left
  timeout --signal=INT --kill-after=10 "$most" "$@" >"$LOGS/$name.txt" 2>"$LOGS/$name.err"
  code=$?
  [ "$name" = tests ] && [ "$code" = 5 ] && code=0 # pytest: no test of that kind
  say "== $name: exit code $code after $((SECONDS - started)) s: $*"
  cat "$LOGS/$name.txt" >>"$LOGS/summary.txt"
  [ "$code" = 0 ] || { failed=1; tail -n 5 "$LOGS/$name.err" | tee -a "$LOGS/summary.txt"; }
}

if [ "${DRY:-0}" = 1 ]; then
  bench=(python -m harness.bench --shape smollm2-135m --layers 1 --random-weights --device cpu --out "$OUT")
  tests=tests/harness/test_bench.py
  training=(python -m harness.bench --shape smollm2-135m --layers 1 --random-weights --device cpu --out "$OUT" --lengths 16)
  rounds=(--rounds 1) decode=(--prompts 1 --prompt-tokens 8 --new-tokens 4) kernel=(--kernel-rows 2 --vocabularies 64)
  short=(--batch-sizes 1 --block-sizes 16 --kv-lengths 16 32) long=(--batch-sizes 1 --block-sizes 16 --kv-lengths 64)
else
  python -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || { echo "no CUDA device; DRY=1 runs on a CPU" >&2; exit 2; }
  bench=(python -m harness.bench --shape llama-3.1-8b --random-weights --device cuda --out "$OUT")
  tests=tests
  training=(python -m harness.bench --shape smollm2-135m --random-weights --device cuda --out "$OUT" --lengths 1024 4096)
  rounds=(--rounds 6) decode=(--prompts 1 --prompt-tokens 256 --new-tokens 96)
  kernel=(--kernel-rows 16 64 256 --vocabularies 49152 128256)
  short=(--batch-sizes 1 16 --block-sizes 8 16 32 --kv-lengths 256 4096)
  long=(--batch-sizes 1 --block-sizes 16 --kv-lengths 16384)
  say "$(nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader)"
fi

step tests 120 python -m pytest -q -p no:cacheprovider -m gpu "$tests"
step kernel-and-decode 240 "${bench[@]}" --fresh --kernel --decode "${rounds[@]}" "${kernel[@]}" "${decode[@]}"
step slowdown 120 "${bench[@]}" --fresh --slowdown "${rounds[@]}" "${short[@]}"
step slowdown-long 80 "${bench[@]}" --slowdown "${rounds[@]}" "${long[@]}"
step training 80 "${training[@]}" --fresh --training --step-batch 2 --rounds 3
say "== $SECONDS s in all; records below $OUT/results, figures below $OUT/reports"
exit "$failed"
