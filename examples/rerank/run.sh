#!/usr/bin/env bash
# From parallel text and a decoder to better translations, end to end:
#
#   examples/rerank/run.sh FOLDER
#
# makes parallel text, trains a small Marian model on it (pymarian, `pip install pymarian`; PYMARIAN names the program) and a
# student on judged translations, decodes dev and test to 12-best lists, tunes weights on dev, reranks test behind the live
# decoder, and reports what that was worth beside the decoder's first choice, the random pick, consensus and the oracle.
# Takes about three minutes on two cores. What is in FOLDER already is not made again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
qestrel=${QESTREL:-qestrel}
pymarian=${PYMARIAN:-pymarian}
mkdir -p "$1"
cd "$1"

if [ ! -s train.source ]; then "$qestrel" lua "$here/text.lua" .; fi
if [ ! -s student.qe ]; then
  "$qestrel" train gold --train=judged.tsv --dev=judged-dev.tsv -o student.qe --seed=1 --threads=2 --epochs=3
fi
if [ ! -s model.npz.decoder.yml ]; then
  "$pymarian" train --type transformer -m model.npz -t train.source train.target -v source.yml target.yml \
    --enc-depth 1 --dec-depth 1 --dim-emb 64 --transformer-heads 4 --transformer-dim-ffn 128 --transformer-dropout .1 \
    --label-smoothing .1 --cost-type ce-mean-words --learn-rate .002 --lr-warmup 200 --after-epochs 4 --mini-batch 64 \
    --max-length 60 --cpu-threads 2 --sync-sgd -w 512 --seed 7 --quiet
fi
decode() {
  "$pymarian" decode -c model.npz.decoder.yml -m model.npz -v source.yml target.yml -i "$1.source" -b 12 -n 1 --n-best \
    --cpu-threads 2 -w 512 --mini-batch 32 --quiet
}
decode dev > dev.nbest

echo "---- weights, tuned on dev"
"$qestrel" tune -m student.qe --nbest dev.nbest --source dev.source --reference dev.target -o weights.json --quiet

echo "---- test, reranked behind the decoder"
decode test | tee test.nbest |
  "$qestrel" rerank -m student.qe --source test.source --weights weights.json --quiet \
    --report report --reference test.target > picks
cat report

echo "---- the same, tuned for BLEU"
"$qestrel" tune -m student.qe --metric bleu --nbest dev.nbest --source dev.source --reference dev.target \
  -o bleu-weights.json --quiet
"$qestrel" rerank -m student.qe --source test.source --weights bleu-weights.json --quiet < test.nbest > bleu-picks

echo "---- with shipped weights and consensus alone, no model"
"$qestrel" rerank --source test.source --reference test.target --report shipped.report < test.nbest > shipped
cat shipped.report

echo "---- beside what the lists allow; A: the decoder's first choice, B: the picks"
"$qestrel" rerank --weights decoder --source test.source --quiet < test.nbest > first
"$qestrel" compare first picks --reference test.target --nbest test.nbest --quiet
"$qestrel" compare first bleu-picks --reference test.target --metric bleu --quiet
