#!/usr/bin/env bash
# Trains and scores every method of docs/results.md and writes its tables and plots. Hours on a CPU; what is finished is kept, and
# the next start goes on from there.
#
#   scripts/reproduce.sh [--data FOLDER] [--seeds N] [--parts table2 table1 third sparse sweeps times] [--report FILE] [--figures FOLDER]
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_build_tools
need_rust
environment="${XDG_CACHE_HOME:-$HOME/.cache}/semietpicker/plots"
python="$environment/bin/python"
if ! "$python" -c 'import matplotlib' 2>/dev/null; then
  python3 -c 'import venv, ensurepip' 2>/dev/null || need_apt python3 python3-venv
  say "Installing matplotlib into $environment"
  python3 -m venv "$environment"
  "$python" -m pip install --quiet 'matplotlib==3.11.2'
fi
announce_build
cargo build --locked --manifest-path "$SEMIETPICKER_ROOT/Cargo.toml"
exec "$python" "$SEMIETPICKER_ROOT/scripts/reproduce.py" --program "$CARGO_TARGET_DIR/debug/semietpicker" \
  --work "${SEMIETPICKER_WORK:-$PWD/reproduce}" "$@"
