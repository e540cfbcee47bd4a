#!/usr/bin/env bash
# Shipped aligned students on one core: microseconds per pair, and which share of the core's peak their products are.
#   tests/bench/students.sh DATA [MODELS]
# DATA holds the pairs' folders of MLQE-PE. MODELS is models/ otherwise.
set -euo pipefail
data=$(realpath "$1")
models=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
. tests/packages.sh
need "${build_packages[@]}" libcmocka-dev python3
cmake --preset release > /dev/null
cmake --build --preset release --target bench qestrel_program > /dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.build/release/tests/bench peak > "$work/results"
.build/release/qestrel lua tests/bench/students.lua "${models:-models}" "$data" \
  ro-en et-en ne-en si-en ru-en en-de en-zh >> "$work/results"
python3 - "$work/results" << 'END'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
peak = rows.pop(0)["flops_per_second"]
print(f"peak of one core: {peak / 1e9:.1f} GFLOP/s")
for row in rows:
    print(f"{row['what']}: {row['microseconds']:.0f} microseconds a pair of {row['words_per_pair']:.1f} words, "
          f"{row['pairs_per_second']:.0f} pairs a second, {row['list_microseconds']:.0f} microseconds in lists of eight, "
          f"{100 * row['flops_per_second'] / peak:.0f} % of the peak")
END
