#!/usr/bin/env bash
# Tests the bounds that pyproject.toml states: makes two virtual environments in a temporary folder, one with the lowest
# versions that it allows and one with the newest, and runs the smoke sweep and the tests of results and peers in each. Ends with
# exit code 1 where one of them fails. PYTHON chooses the interpreter. Takes about two gigabytes of disk, and some minutes.
#
# torch is the build of constraints.txt in both, whatever the lower bound: other builds bring gigabytes of CUDA packages.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
unset PYTHONPATH
extras=parquet,plot,report,peers
torch=$(grep '^torch==' constraints.txt)
# Those that compare with other packages, or need a browser, want more than a user installs.
tests=(tests/conformance/test_packages.py tests/results)
for name in calibration rank rate_distortion report_browser statistics; do
    tests+=("--ignore=tests/results/test_$name.py")
done

# The lowest versions: each "name>=version" of the dependencies and of the extras as "name==version".
"$python" - "$extras" "$torch" > "$folder/lowest.txt" <<'PYTHON'
import re
import sys
import tomllib

extras, torch = sys.argv[1].split(","), sys.argv[2]
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
optional = project["optional-dependencies"]
for requirement in [*project["dependencies"], *(one for extra in extras for one in optional[extra])]:
    found = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
    if found is None:
        sys.exit(f"pyproject.toml: {requirement!r} states no lower bound of the form name>=version")
    print(torch if found[1] == "torch" else f"{found[1]}=={found[2]}")
PYTHON
echo "$torch" > "$folder/newest.txt"

failed=0
for kind in lowest newest; do
    bin=$folder/$kind/bin
    echo "== $kind versions =="
    if "$python" -m venv "$folder/$kind" &&
        "$bin/python" -m pip install --quiet --disable-pip-version-check --constraint "$folder/$kind.txt" \
            torch pytest --editable ".[$extras]" &&
        "$bin/python" -m pip list --disable-pip-version-check --format freeze | grep -iE '^(torch|numpy|pandas|pyarrow|scipy|vector-quantize-pytorch)==' &&
        "$bin/quantbench" run +experiment=smoke executor=inline "output=$folder/$kind/outputs" &&
        "$bin/python" -m pytest -q -p no:cacheprovider "${tests[@]}"; then
        echo "== $kind versions: passed =="
    else
        echo "== $kind versions: FAILED ==" >&2
        failed=1
    fi
done
exit "$failed"
