#!/usr/bin/env bash
# Compares speed and values with PyTorch on this machine's CPU, alternating in one run. Installs PyTorch from PyPI in a virtual
# environment of its own (about 3 GB), unless SEMIETPICKER_PYTHON names a Python that has torch and numpy.
#
#   scripts/compare_with_pytorch.sh [--quick] [--threads N] [--markdown FILE]
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_build_tools
need_rust
python="${SEMIETPICKER_PYTHON:-}"
if [ -z "$python" ]; then
  environment="${XDG_CACHE_HOME:-$HOME/.cache}/semietpicker/pytorch"
  python="$environment/bin/python"
  if ! "$python" -c 'import torch, numpy' 2>/dev/null; then
    python3 -c 'import venv, ensurepip' 2>/dev/null || need_apt python3 python3-venv
    say "Installing PyTorch into $environment"
    python3 -m venv "$environment"
    "$python" -m pip install --quiet 'torch==2.15.0' 'numpy==2.4.6'
  fi
fi
announce_build
cd "$SEMIETPICKER_ROOT"
# The profile of scripts/run.sh, so that what is measured is what users run.
program=$(cargo bench --locked --profile dev --bench compare --no-run --message-format=json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\/compare-[^"]*\)".*/\1/p' | tail -n 1)
exec "$python" scripts/compare_with_pytorch.py --program "$program" "$@"
