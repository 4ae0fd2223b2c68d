#!/usr/bin/env bash
# Fills data/speech (or the folder given as an argument) with real speech: the Asterisk core sounds, 131 minutes of four
# human speakers at 16 kHz, as FLAC. Licences: CC BY-SA 3.0 and CC BY 3.0, kept beside the files.
# Needs a Debian-based system (packages are downloaded and unpacked, not installed) and scripts/setup.sh.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=$(mkdir -p "${1:-$root/data/speech}" && cd "${1:-$root/data/speech}" && pwd)

"$root/scripts/setup.sh" speech
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for language in en es fr it ru; do
    package=asterisk-core-sounds-$language-g722
    if ! apt-get download --quiet "$package"; then
        echo "cannot download the Debian package $package; is apt-get there, and 'apt-get update' done?" >&2
        exit 1
    fi
    dpkg --extract "$package"_*.deb unpacked
done
"$root/.venv/bin/python" "$root/scripts/decode_g722.py" unpacked/usr/share/asterisk/sounds "$target"
for document in unpacked/usr/share/doc/*; do
    cp "$document/copyright" "$target/copyright-$(basename "$document").txt"
done
echo "speech is in $target"
