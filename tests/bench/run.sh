#!/usr/bin/env bash
# Speed beside PyTorch and beside the peak of one core, measured in one run. PyTorch comes from pip into a virtual
# environment of its own, once.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/packages.sh
need "${build_packages[@]}" libcmocka-dev python3-venv
cmake --preset release > /dev/null
cmake --build --preset release --target bench > /dev/null
python=${PYTHON:-}
if [ -z "$python" ]; then
  python=.build/torch/bin/python
  if [ ! -x "$python" ]; then
    python3 -m venv .build/torch
    .build/torch/bin/pip install --quiet torch==2.13.0
  fi
fi
export OPENBLAS_NUM_THREADS=1
results=$(mktemp)
trap 'rm -f "$results"' EXIT
.build/release/tests/bench | tee "$results"
"$python" tests/bench/bench.py | tee -a "$results"
"$python" - "$results" << 'END'
import json, sys
rows = {row["what"]: row for row in map(json.loads, open(sys.argv[1]))}
rate = lambda name: rows[name]["pairs_per_second"]
share = lambda name: 100 * rows[name]["flops_per_second"] / rows["peak"]["flops_per_second"]
print()
for ours, theirs in (("train words dense", "torch train dense"), ("train words sparse", "torch train dense"),
                     ("train words sparse", "torch train sparse"), ("score words", "torch score, best batch"),
                     ("score words", "torch score, batch 1")):
    print(f"{ours} / {theirs}: {rate(ours) / rate(theirs):.2f}x")
for name in ("train words sparse, 2 threads", "train ngrams sparse, 2 threads", "score ngrams, 2 threads"):
    one = name.removesuffix(", 2 threads")
    print(f"{one}, 2 threads / 1: {rate(name) / rate(one):.2f}x")
for name in rows:
    if "flops_per_second" in rows[name] and name != "peak" and "2 threads" not in name:
        print(f"{name}: {share(name):.1f} % of one core's peak")
END
