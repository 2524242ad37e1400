#!/usr/bin/env bash
# The main job: generates text once with the KV cache and once without, and compares every bit.
#
#   tools/demo.sh ["The meaning of life is"]
#
# Installs what is missing (Debian, Ubuntu), builds the one program, fetches SmolLM2-135M-Instruct
# (98 MB), and runs it. Without a network the committed tiny model takes its place.
# Exit code 0: both runs are bit-identical. 1: they are not, or something is missing.
set -euo pipefail
# shellcheck source=tools/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

prompt=${1-The meaning of life is}
install_packages "${build_packages[@]}"
use_ccache

echo "building (log: build/logs/demo-build.log) ..."
if ! (cd "$root" && cmake --preset release "$together" && cmake --build --preset release --target step03_kvcache) \
    >"$logs/demo-build.log" 2>&1; then
    tail -n 20 "$logs/demo-build.log"
    exit 1
fi

if get_smollm2; then
    model=$root/weights/downloads/SmolLM2-135M-Instruct-Q4_1.gguf
else
    model=$root/weights/tiny.gguf
    echo "SmolLM2 is not there, so the tiny model of this repository takes its place:"
    echo "123 712 weights, trained on the King James Bible; do not expect sense."
fi
exec "$root/build/release/bin/step03_kvcache" generate -m "$model" -p "$prompt" -n 64 --compare
