#!/usr/bin/env bash
# What this version does on a GPU, in one JSON file: the machine, the versions, the CUDA tests, the throughput, and a sweep of
# 10,000 trials. Sets up .venv first. Exit code 2 without a GPU, 1 when anything failed (the file says what).
#
#     scripts/benchmarks/gpu.sh [FILE]    # outputs/gpu.json
#
# TRIALS and STEPS change the sweep (10000 trials of 4000 steps).
set -euo pipefail
cd "$(dirname "$0")/../.."
file=${1:-outputs/gpu.json}
trials=${TRIALS:-10000}
steps=${STEPS:-4000}

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
    echo "no GPU: nvidia-smi finds none on this machine; this benchmark needs one" >&2
    exit 2
fi
scripts/setup.sh test
python=.venv/bin/python
if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "no GPU for PyTorch: $("$python" -c 'import torch; print(torch.__version__)') in .venv has no CUDA, or no driver that fits" >&2
    exit 2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m pytest tests/training/test_cuda.py tests/training/test_fused.py --junitxml="$work/tests.xml" || true
"$python" scripts/benchmarks/throughput.py --device cuda --json "$work/throughput.json" || true
start=$(date +%s.%N)
"$python" -m quantbench run -m device=cuda output="$work/runs" simulator=codeword simulator.frame_dim=16 simulator.bits=8 \
    quantizer=vq quantizer.codes=256 quantizer.commitment=1 gradient=ste train.steps="$steps" "seed=range(0,$trials)" || true
end=$(date +%s.%N)
mkdir -p "$(dirname "$file")"
"$python" scripts/benchmarks/gpu_report.py "$work" "$start" "$end" "$file"
