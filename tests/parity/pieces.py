"""Trains a unigram model with SentencePiece and cuts lines with it, for test_unigram.c.

pieces.py FOLDER [DATA]: DATA is a folder of MLQE-PE pairs; without it the texts are made up. Writes pieces.model, lines
and ids (numbered as XLM-R's tokenizers number them) to FOLDER.
"""
import glob
import os
import random
import sys

import sentencepiece

folder, data = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
random.seed(1)


def real_lines():
    lines = []
    for path in sorted(glob.glob(f"{data}/*/*.df.short.tsv")):
        with open(path, encoding="utf-8", newline="\n") as file:
            rows = file.read().split("\n")[1:]
        lines += [field for row in rows for field in row.split("\t")[1:3]]
    return lines


def made_up_lines():
    alphabets = ["abdeghiklmnoprstuvõäöü", "авдеиклмнопрстуя", "कखगचजटडतनपबमयरलवस", "一不中人大年有本的行"]
    words = [["".join(random.choices(letters, k=random.randint(1, 7))) for _ in range(500)] for letters in alphabets]
    return [" ".join(random.choices(random.choice(words), k=random.randint(1, 20))) + random.choice([".", "...", " !"])
            for _ in range(5000)]


def odd_lines():
    points = [*range(1, 0x250), *range(0x300, 0x320), *range(0x900, 0x980), *range(0x2000, 0x2100), 0x2581, 0x3000,
              0xff21, 0xfb01, 0x1d400, 0xac00, 0x1100, 0x1161, 0xfffd]
    characters = [chr(point) for point in points if point != 10] + [" "] * 100 + list("etaoin") * 20
    for _ in range(20000):
        yield "".join(random.choices(characters, k=random.randint(0, 40))).encode()
    for _ in range(5000):  # not UTF-8, mostly
        yield bytes(random.choices(b" \xe2\x96\x81\xc3\xa9abc\xff\xf0\x9f\x98\x80\xed\xa0\x80", k=random.randint(0, 30)))


lines = real_lines() if data else made_up_lines()
with open(f"{folder}/train", "w", encoding="utf-8") as file:
    file.write("\n".join(lines))
sentencepiece.SentencePieceTrainer.train(
    input=f"{folder}/train", model_prefix=f"{folder}/pieces", vocab_size=8000 if data else 1000, model_type="unigram",
    normalization_rule_name="nmt_nfkc", character_coverage=0.999, hard_vocab_limit=False, minloglevel=2)
os.remove(f"{folder}/train")
processor = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/pieces.model")
first = {0: 3, 1: 0, 2: 2}
with open(f"{folder}/lines", "wb") as texts, open(f"{folder}/ids", "w") as ids:
    for line in [line.encode() for line in lines] + list(odd_lines()):
        texts.write(line + b"\n")
        ids.write(" ".join(str(first.get(piece, piece + 1)) for piece in processor.encode(line)) + "\n")
