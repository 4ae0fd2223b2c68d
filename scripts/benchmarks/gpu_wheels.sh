#!/usr/bin/env bash
# Fetches, on a machine with a network, what QuantBench needs beside PyTorch, NumPy, pandas, SciPy and transformers, for a machine
# with a GPU and without a network: 4 MiB of wheels for x86-64 Linux, in the versions of constraints.txt. For gpu.sh --wheels.
#
#     scripts/benchmarks/gpu_wheels.sh [DIR]    # .wheels; PYTHON_VERSION=3.12 names the Python of that machine
set -euo pipefail
to=$(realpath -m "${1:-.wheels}")
cd "$(dirname "$0")/../.."
version=${PYTHON_VERSION:-3.12}
python=${PYTHON:-python3}
mkdir -p "$to"

# Needed, then optional: recordings, the peers, and what the tests import.
packages=(hydra-core omegaconf constriction soundfile soxr cffi pycparser
    vector-quantize-pytorch einops einx torch-einops-utils frozendict loguru hypothesis sortedcontainers)
platforms=()
for one in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014 manylinux1; do platforms+=(--platform "${one}_x86_64"); done
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --constraint constraints.txt \
    --python-version "$version" --implementation cp "${platforms[@]}" --dest "$to" "${packages[@]}"
# Of this one there is no wheel; it is made of Python alone, so that one made here fits everywhere.
"$python" -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$to" antlr4-python3-runtime==4.9.3
ls "$to"
