#!/usr/bin/env bash
# How long whole tomograms of growing size take on the CPU, and how much memory: simulates them, trains a model for a moment, picks
# each, and prints a table in Markdown. Needs GNU time (Debian package time) and about 1 GB in the temporary folder.
#
#   scripts/measure_tomograms.sh [--network compact|resnet34] [SIZE…]      SIZE such as 184x630x630 (z, y, x)
set -euo pipefail
# shellcheck source=scripts/env.sh
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

network=compact
if [ "${1:-}" = --network ]; then
  network="$2"
  shift 2
fi
sizes=("$@")
[ ${#sizes[@]} -gt 0 ] || sizes=(72x208x208 92x315x315 184x630x630)
need_build_tools
need_rust
[ -x /usr/bin/time ] || need_apt time
announce_build
cargo build --locked --manifest-path "$SEMIETPICKER_ROOT/Cargo.toml"
program="$CARGO_TARGET_DIR/debug/semietpicker"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$program" simulate --out "$folder/train" --shape 64 96 96 >/dev/null 2>&1
tomogram=$(echo "$folder"/train/*.mrc)
"$program" train --labelled "$tomogram=${tomogram%.mrc}.csv" --classes "$folder/train/classes.toml" --out "$folder/model" \
  --network "$network" --steps 20 --crop 32 --batch 1 --device cpu >/dev/null 2>&1

printf 'Network %s, %s threads, load %s at the start.\n\n' "$network" "$(nproc)" "$(cut -d ' ' -f 1 /proc/loadavg)"
printf '| voxels (z, y, x) | million voxels | whole command, s | s per million voxels | largest resident memory, MB |\n|---|---|---|---|---|\n'
for size in "${sizes[@]}"; do
  IFS=x read -r z y x <<<"$size"
  "$program" simulate --out "$folder/$size" --shape "$z" "$y" "$x" >/dev/null 2>&1
  /usr/bin/time -f '%e %M' -o "$folder/time" \
    "$program" pick --model "$folder/model" --out "$folder/picks-$size" --device cpu "$folder/$size"/*.mrc >/dev/null 2>"$folder/log"
  read -r seconds kilobytes <"$folder/time"
  awk -v size="$size" -v n="$((z * y * x))" -v s="$seconds" -v k="$kilobytes" 'BEGIN {
    printf "| %s | %.1f | %.1f | %.2f | %.0f |\n", size, n / 1e6, s, s / (n / 1e6), k / 1000
  }'
  rm -rf "${folder:?}/$size" "$folder/picks-$size"
done
