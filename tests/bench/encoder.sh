#!/usr/bin/env bash
# A pretrained encoder beside PyTorch in one run: frozen forward and fine-tuning in pairs per second, share of the peak of
# both cores, largest difference of outputs, memory.
#   tests/bench/encoder.sh FOLDER [PAIRS.tsv]
# FOLDER is multilingual-e5-small as examples/mlqe/e5_folder.lua makes it; without PAIRS.tsv the pairs are made up.
set -euo pipefail
folder=$(realpath "$1")
pairs=${2:+$(realpath "$2")}
cd "$(dirname "$0")/../.."
. tests/packages.sh
need "${build_packages[@]}" libcmocka-dev python3-venv
cmake --preset release > /dev/null
cmake --build --preset release --target bench qestrel_program > /dev/null
python=${PYTHON:-.build/encoder/bin/python}
if [ ! -x "$python" ]; then
  python3 -m venv .build/encoder
  .build/encoder/bin/pip install --quiet torch==2.13.0 transformers==5.24.0 sentencepiece==0.2.3 safetensors numpy
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.build/release/tests/bench peak | tee "$work/results"
if [ -z "$pairs" ]; then
  pairs=$work/pairs.tsv
  .build/release/qestrel lua tests/bench/encoder.lua pairs > "$pairs"
fi
.build/release/qestrel lua tests/bench/encoder.lua "$folder" "$pairs" "$work" | tee -a "$work/results"
"$python" tests/bench/encoder.py "$folder" "$pairs" "$work" | tee -a "$work/results"
"$python" - "$work/results" << 'END'
import json, sys
rows = {row["what"]: row for row in map(json.loads, open(sys.argv[1]))}
print()
for what in ("forward, 1 thread", "forward, 2 threads", "fine-tuning, 2 threads"):
    ours, theirs = rows[what], rows["torch " + what]
    print(f"{what}: {ours['pairs_per_second'] / theirs['pairs_per_second']:.2f}x PyTorch")
    if "flops_per_second" in ours:
        peak = rows["peak"]["flops_per_second"] * (2 if "2 threads" in what else 1)
        print(f"{what}: {100 * ours['flops_per_second'] / peak:.0f} % of the peak of the cores it has")
print(f"largest difference of logits: {rows['difference']['value']:.2g}")
END
