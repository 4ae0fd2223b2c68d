#!/usr/bin/env bash
# Fills data/images (or the folder given as an argument) with 10,000 images of Fashion-MNIST, 28 x 28 pixels, grey, as PNG, in a folder
# for each of its ten classes. Licence: MIT, kept beside the files.
# Needs a Debian-based system (the package is downloaded and unpacked, not installed) and scripts/setup.sh.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=$(mkdir -p "${1:-$root/data/images}" && cd "${1:-$root/data/images}" && pwd)

"$root/scripts/setup.sh" images
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
if ! apt-get download --quiet dataset-fashion-mnist; then
    echo "cannot download the Debian package dataset-fashion-mnist; is apt-get there, and 'apt-get update' done?" >&2
    exit 1
fi
dpkg --extract dataset-fashion-mnist_*.deb unpacked
"$root/.venv/bin/python" "$root/scripts/decode_idx.py" unpacked/usr/share/datasets/fashion-mnist "$target"
cp unpacked/usr/share/doc/dataset-fashion-mnist/copyright "$target/copyright.txt"
echo "images are in $target"
