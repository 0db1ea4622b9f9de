#!/usr/bin/env bash
# Installs what is missing, builds SemiETPicker and runs it.
#
#   scripts/run.sh              the demo: in the window, or without one where there is no display
#   scripts/run.sh ARGUMENTS…   passed on to the program, such as: scripts/run.sh train --help
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_build_tools
need_rust

window=no
if has_display; then
  window=yes
  if [ $# -eq 0 ]; then
    need_window_libraries
  else
    # Most commands need no window, so that they must not fail for want of its libraries.
    need_window_libraries || say "Going on without them: commands work, the window may not open."
  fi
fi

announce_build
cargo build --locked --manifest-path "$SEMIETPICKER_ROOT/Cargo.toml"
program="$CARGO_TARGET_DIR/debug/semietpicker"

if [ $# -gt 0 ]; then
  exec "$program" "$@"
elif [ "$window" = yes ]; then
  exec "$program" demo
else
  out="${SEMIETPICKER_DEMO_DIR:-${XDG_DATA_HOME:-$HOME/.local/share}/semietpicker/demo}"
  say "There is no display, so the demo runs without a window; its files go to $out"
  exec "$program" demo --headless --out "$out"
fi
