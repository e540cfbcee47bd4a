#!/usr/bin/env bash
# Makes models/et-en.qe again, byte for byte on the same kind of CPU and OpenBLAS: models/train.sh DATA, where DATA
# holds mlqe-pe/et-en and et-en-xlmr-teacher.
set -euo pipefail
data=$(realpath "$1")
cd "$(dirname "$0")/.."
.build/release/qestrel train kd --data="$data/mlqe-pe/et-en" --teacher="$data/et-en-xlmr-teacher/train.tsv" \
  -o models/et-en.qe --seed=4 --threads=2 --card=models/et-en.md --license="CC0-1.0 AND BSD-3-Clause" \
  --license-file=models/LICENSE.et-en
