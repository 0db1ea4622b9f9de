#!/usr/bin/env bash
# Works the real window with pointer and keys on a virtual display (Xvfb, software Vulkan), checks the labels on the disk, and leaves
# pictures. Takes about three minutes.
#
#   scripts/try_window.sh [FOLDER]
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_build_tools
need_rust
need_window_libraries
need_software_vulkan
missing=()
command -v Xvfb >/dev/null || missing+=(xvfb)
command -v xdotool >/dev/null || missing+=(xdotool)
command -v import >/dev/null || missing+=(imagemagick)
need_apt "${missing[@]}"
announce_build
cargo build --locked --manifest-path "$SEMIETPICKER_ROOT/Cargo.toml"
folder="${1:-$(mktemp -d)}"
mkdir -p "$folder"
number=90
while [ -e "/tmp/.X$number-lock" ]; do number=$((number + 1)); done
Xvfb ":$number" -screen 0 1440x860x24 -noreset >/dev/null 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
sleep 1
say "Pictures and project: $folder"
DISPLAY=":$number" python3 "$SEMIETPICKER_ROOT/scripts/try_window.py" --program "$CARGO_TARGET_DIR/debug/semietpicker" --folder "$folder"
