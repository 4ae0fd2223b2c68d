#!/usr/bin/env bash
# What this version does on a GPU, in one JSON file, which is written anew after each part: the machine, the CUDA tests, agreement
# with the CPU, throughput by workload and stack size, a sweep with its phases. Exit code 2 where nothing can be measured, 1 where
# a part failed or found no time (the file says which).
#
#     scripts/benchmarks/gpu.sh [--minutes N] [FILE]                     # sets up .venv first; 8 minutes, outputs/gpu.json
#     scripts/benchmarks/gpu.sh --system-site [--wheels DIR] [FILE]      # with the PyTorch that PYTHON (python3) has; no download
#
# --wheels DIR: what that Python lacks, as scripts/benchmarks/gpu_wheels.sh fetches it elsewhere; nothing is installed for good.
# --device, --parts, --trials, --steps, --tiny go to gpu_report.py. `--device cpu --tiny` tries the script itself.
set -euo pipefail
from=$PWD
cd "$(dirname "$0")/../.."

system_site=; wheels=; device=cuda; file=; words=()
while (($#)); do
    case $1 in
        --system-site) system_site=yes ;;
        --wheels) wheels=$(cd "$from" && cd "$2" && pwd); shift ;;
        --device) device=$2; shift ;;
        --tiny) words+=("$1") ;;
        --minutes|--parts|--trials|--steps) words+=("$1" "$2"); shift ;;
        -*) echo "$1: no such option; see the head of $0" >&2; exit 2 ;;
        *) file=$1 ;;
    esac
    shift
done
[[ -z $file || $file == /* ]] || file=$from/$file
file=${file:-$PWD/outputs/gpu.json}

if [[ -n $wheels && -z $system_site ]]; then
    echo "--wheels: is for --system-site; without it, scripts/setup.sh downloads what is needed" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [[ -n $system_site ]]; then
    python=${PYTHON:-python3}
    if [[ -n $wheels ]]; then
        "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --target "$work/site" "$wheels"/*.whl
    fi
    export PYTHONPATH=$PWD${wheels:+:$work/site}${PYTHONPATH:+:$PYTHONPATH}
else
    scripts/setup.sh test
    python=.venv/bin/python
fi

lacking=$("$python" - <<'END'
from importlib.util import find_spec

needed = "torch hydra omegaconf numpy pandas yaml tqdm constriction threadpoolctl safetensors scipy rich"
print(*(name for name in needed.split() if find_spec(name) is None))
END
)
if [[ -n $lacking ]]; then
    echo "$python lacks: $lacking; scripts/benchmarks/gpu_wheels.sh fetches wheels on a machine with a network, for --wheels" >&2
    exit 2
fi
if [[ $device == cuda* ]]; then
    "$python" - <<'END' || exit 2
import sys

import torch

if not torch.cuda.is_available():
    sys.exit(f"no GPU for PyTorch {torch.__version__}: this machine has none, or no driver that fits")
END
fi
"$python" scripts/benchmarks/gpu_report.py "$file" --device "$device" "${words[@]}"
