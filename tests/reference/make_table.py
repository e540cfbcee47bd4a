#!/usr/bin/env python3
"""Makes table.tsv, the scores that src/reference.c must give, with sacreBLEU 2 (pip install sacrebleu).

usage: make_table.py > table.tsv

  metrics   NAME ...                       the columns of all scores
  segment   HYPOTHESIS REFERENCE ...       backslash, TAB, LF, CR and bytes that are not UTF-8 escaped as \\xHH
  sentence  SCORE ...                      of the segment before
  corpus    SCORE ...                      of the segments since the last such line

Texts are made here, from a fixed seed; characters are older than Unicode 14, so that every version knows them.
"""
import logging
import random
import re
import sys

from sacrebleu.metrics import BLEU, CHRF, TER

SENTENCES = """\
The old ferry leaves the island at 6.45, and returns at 21:30 if the wind allows.
"Nobody," said the miller's daughter, "has counted the sacks -- not even once!"
Vana praam väljub saarelt kell 6.45 ja naaseb õhtul, kui tuul lubab.
Möldri tütar ütles: «Keegi pole kotte lugenud – isegi mitte üks kord!»
Старый паром уходит с острова в 6:45, а возвращается вечером (если позволит ветер).
旧渡轮早上6点45分离开小岛，如果风允许，晚上9点返回。
磨坊主的女儿说：“没有人数过袋子，一次也没有！”
古いフェリーは６時４５分に島を出て、夜に戻ります。カモメも一緒です。
낡은 배는 여섯 시에 섬을 떠나 저녁에 돌아온다.
العبّارة القديمة تغادر الجزيرة عند الساعة ٦٫٤٥ وتعود مساءً.
पुरानी नाव सुबह द्वीप छोड़ती है और शाम को लौटती है।
Το παλιό πλοίο φεύγει από τη ΝΗΣΟΣ στις 6.45. ΟΔΟΣ. ΣΑΣ
İzmir'den kalkan vapur ISLAK IŞIKLAR altında döndü.
Prices rose by 3.5% to $1,250.00 (or €1.180,00) between 2019-2021; see p. 7-9.
The tag <b>bold</b> &amp; the entity &quot;x &lt; y&quot; and &amp;lt; stay <skipped> here.
Write to a.b-c@d.example, or see http://example.org/a_b?c=d&e=f#g ... soon.
The ship 🚢 sails 👩‍🚀 and we wave 👋🏽 ☀️ today!!!
a a a a a a b a a a c a a a b b a
No. 5, i.e. the 5th; U.S.A. and e.g., ½ of ²x, Ⅷ. or ①、 done.
It's the dogs' bowl, isn't it? 'Yes' -- it's theirs's.
x/y {curly} [square] ~tilde ^caret `tick` | pipe \\ backslash * star + plus = equal
.5 is a half ,5 too , 5 , . 5.
zero\u200bwidth no\u00a0break thin\u2009space ideographic\u3000space line\u2028separator
ﬁne ＦＵＬＬ ｗｉｄｔｈ， ẞ straße Ǆ ǆ é é
""".rstrip("\n").split("\n")
EXTRA = ["the", "a", "on", "and", "Saar", "море", "。", "，", "風", "!", ".", ",", "12", "3.4", "-", "\"", "(x)", "🚢"]


def edited(rng, text):
    """Another wording: words are dropped, doubled, replaced, moved in blocks, written in capitals."""
    words = text.split(" ")
    for _ in range(rng.randrange(1, 6)):
        i = rng.randrange(len(words))
        j = min(len(words), i + rng.randrange(1, 6))
        kind = rng.randrange(6)
        if kind == 0:
            words[i] = rng.choice(EXTRA)
        elif kind == 1 and len(words) > 1:
            del words[i]
        elif kind == 2:
            words.insert(i, words[rng.randrange(len(words))])
        elif kind == 3:
            words[i] = words[i].upper()
        elif len(words) > j - i:
            block = words[i:j]
            del words[i:j]
            place = rng.randrange(len(words) + 1)
            words[place:place] = block
    return " ".join(words)


def letters(rng, size, kinds):
    return " ".join(rng.choice("abcdefghijklmnopqrstuvwxyz"[:kinds]) for _ in range(size))


def edge_cases():
    long_text = " ".join(f"w{i % 37}" for i in range(90))
    return [
        [("", ["", ""])],
        [("", ["something here"]), ("something here", [""])],
        [("same words here", ["same words here"]), ("a", ["a"]), ("ab", ["ab"])],
        [("abc", ["xyz"]), ("one two three four five", ["six seven eight nine ten"])],
        [("   ", ["\t"]), ("  padded  text ", ["padded text"])],
        [("line\nbreak hyphen-\nated", ["line break hyphenated"]), ("tab\tand\rreturn", ["tab and return"])],
        [(b"broken \xff\xc3 bytes \xe2\x82 end\xf0\x9f", ["broken \ufffd\ufffd bytes \ufffd end\ufffd"]),
         (b"\xed\xa0\x80 \xc0\xaf", ["\ufffd\ufffd\ufffd \ufffd\ufffd"])],
        [("a b c d e f g h", ["e f g h a b c d"]), ("e f g h i j a b c d k", ["a b c d e f g h i j k"])],
        [(long_text, [" ".join(reversed(long_text.split(" ")))])],
        [("a " * 70 + "b", ["b " + "a " * 70])],
        [("x", [" ".join("abcdefg"[i % 7] for i in range(130))]),
         (" ".join("abcdefg"[i % 7] for i in range(130)), ["x"])],
        [("one two three", ["one two", "one two three four", "one two three four five"]),
         ("one two three", ["one two three four", "one two", ""]),
         ("the the the the", ["the cat the", "the", "the the a the"])],
        [("Moved block of words stands at the front now", ["now Moved block of words stands at the front",
                                                           "stands at the front now Moved block of words"])],
    ]


def corpora():
    rng = random.Random(20)
    yield from edge_cases()
    for count in (1, 2, 3):
        for start in range(0, len(SENTENCES), 6):
            yield [(edited(rng, s), [s if i == 0 else edited(rng, s) for i in range(count)])
                   for s in SENTENCES[start:start + 6]]
    yield [(edited(rng, s), [edited(rng, s)]) for s in SENTENCES]
    yield [(rng.choice(SENTENCES), [rng.choice(SENTENCES), rng.choice(SENTENCES)]) for _ in range(6)]
    for kinds in (2, 4, 8, 26):
        yield [(edited(rng, edited(rng, text)), [text]) for text in (letters(rng, n, kinds) for n in (8, 20, 45))]
        yield [(letters(rng, n, kinds), [letters(rng, n + 5, kinds), letters(rng, n, kinds)]) for n in (3, 12, 40)]


def escaped(text):
    if isinstance(text, bytes):
        return "".join(chr(b) if 32 <= b < 127 and b != 92 else f"\\x{b:02x}" for b in text)
    return re.sub(r"[\\\t\n\r]", lambda match: f"\\x{ord(match[0]):02x}", text)


def decoded(text):
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else text


def metrics():
    """name -> metric of corpora, metric of sentences"""
    table = {"chrf": (CHRF(), CHRF()), "chrf++": (CHRF(word_order=2), CHRF(word_order=2)), "ter": (TER(), TER())}
    for name in ("13a", "zh", "intl", "char", "none"):
        table["bleu" if name == "13a" else "bleu:" + name] = (
            BLEU(tokenize=name), BLEU(tokenize=name, effective_order=True))
    return table


def main():
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    logging.disable(logging.CRITICAL)
    table = metrics()
    print("metrics", *table, sep="\t")
    for corpus in corpora():
        hypotheses = [decoded(hypothesis) for hypothesis, _ in corpus]
        references = list(map(list, zip(*(references for _, references in corpus))))
        for (hypothesis, own), text in zip(corpus, hypotheses):
            print("segment", escaped(hypothesis), *map(escaped, own), sep="\t")
            print("sentence", *(f"{of.sentence_score(text, own).score:.10f}" for _, of in table.values()), sep="\t")
        print("corpus", *(f"{of.corpus_score(hypotheses, references).score:.10f}" for of, _ in table.values()), sep="\t")


main()
