#!/usr/bin/env bash
# Installs what is missing and runs all tests; arguments are passed on to `cargo test`.
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

need_build_tools
need_rust
# The tests of the window draw without a display, with the software driver.
need_software_vulkan
need_software_gl || say "The test of the GPU's path will be skipped where there is no GPU."
if ! need_readers; then
  say "The tests in which other programs' libraries read our files will be skipped, or fail if SEMIETPICKER_REQUIRE_READERS=1."
fi
announce_build
mkdir -p "$CARGO_TARGET_DIR"

log="$CARGO_TARGET_DIR/test-log.txt"
summary="$CARGO_TARGET_DIR/test-summary.txt"
rm -f "$summary"
status=0
cargo test --locked --no-fail-fast --manifest-path "$SEMIETPICKER_ROOT/Cargo.toml" "$@" 2>&1 | tee "$log" || status=$?

# The runner's own closing line of each test program, together, and their sum.
{
  awk '
    /^ *(Running|Doc-tests) / { program = $0 }
    /^test result: / {
      if (program != "") print program
      print
      program = ""
      programs += 1
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^failed/) failed += $(i - 1)
        if ($i ~ /^ignored/) ignored += $(i - 1)
      }
    }
    END { printf "%d test programs: %d passed; %d failed; %d ignored\n", programs, passed, failed, ignored }
  ' "$log"
  if [ ! -d "${SEMIETPICKER_TEST_DATA:-$SEMIETPICKER_ROOT/../shared/data}" ]; then
    echo "The tests on real and reference data were skipped: no folder with them (SEMIETPICKER_TEST_DATA)."
  fi
  if [ -z "${SEMIETPICKER_READERS:-}" ]; then
    echo "The tests in which other programs' libraries read our files were skipped (SEMIETPICKER_READERS)."
  fi
  [ "$status" -eq 0 ] || echo "The tests failed (exit code $status)."
} | tee "$summary.new" | sed '1i\
\
==> Summary'
mv "$summary.new" "$summary"
exit "$status"
