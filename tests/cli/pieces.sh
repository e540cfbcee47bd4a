#!/usr/bin/env bash
# Our own cutting of text into pieces equals SentencePiece's, on a model that SentencePiece trains here.
set -euo pipefail
. "$SOURCE_DIR/tests/plugin/venv.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
venv "$folder/venv" sentencepiece==0.2.3
data=$SOURCE_DIR/../shared/data/mlqe-pe
if [ ! -d "$data" ]; then
  echo "no MLQE-PE: made-up texts"
  data=
fi
"$python" "$SOURCE_DIR/tests/parity/pieces.py" "$folder" ${data:+"$data"}
QE_PIECES=$folder "$BUILD_DIR/tests/test_unigram"
