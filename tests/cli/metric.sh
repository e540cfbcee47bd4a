#!/usr/bin/env bash
# qestrel metric: what it prints and refuses, and, where python3 has sacreBLEU, its scores beside sacreBLEU's on
# sentences that are made here.
set -uo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failures=0

# expect STATUS STDOUT STDERR-PART ARGUMENTS...: stdin is the file `in`.
expect() {
  local status=$1 output=$2 message=$3
  shift 3
  "$QESTREL" metric "$@" < in > out 2> err
  local found=$?
  if [ "$found" != "$status" ]; then echo "$*: exit $found, expected $status; $(head -3 err)" && failures=$((failures + 1)); fi
  if [ "$output" != '*' ] && [ "$(cat out && printf .)" != "$output${output:+$'\n'}." ]; then
    echo "$*: printed $(head -5 out | cat -A), expected $output" && failures=$((failures + 1))
  fi
  if [ "$message" = '' ] && [ "$status" = 0 ] && [ -s err ]; then
    echo "$*: says $(head -3 err)" && failures=$((failures + 1))
  elif [ "$message" != '' ] && ! grep -qF -- "$message" err; then
    echo "$*: message lacks \"$message\": $(head -3 err)" && failures=$((failures + 1))
  fi
}

printf 'one two three four five\nsix seven\n' > in
printf 'one two three four five\r\nsix' > near
printf 'five one two three four\nseven eight\n' > far
printf 'one\n' > short
: > empty
tab=$'\t'
expect 0 '*' '' --help
expect 0 "chrf${tab}100.000000"$'\n'"bleu${tab}100.000000"$'\n'"ter${tab}0.000000" '' --reference in
expect 0 "ter${tab}16.666667" '' --reference near --metric ter
expect 0 "ter${tab}42.857143" '' --reference far --metric ter --reference far
expect 0 "0.000000${tab}100.000000"$'\n'"66.666667${tab}70.710678" '' --sentence --metric ter bleu --reference far --reference near
expect 0 "bleu:none${tab}100.000000"$'\n'"chrf++${tab}100.000000" '' --reference in --metric bleu:none --metric chrf++
expect 1 '' 'stdin has 2 lines, short has 1' --reference in --reference short
expect 1 '' 'stdin has 2 lines, empty has 0' --reference empty
expect 1 '' 'nowhere' --reference nowhere
expect 2 '' 'no metric "comet"; there are chrf, chrf++, bleu, ter' --reference in --metric comet
expect 2 '' 'no tokenizer "ja"; there are 13a, zh, intl, char, none' --reference in --metric bleu:ja
expect 2 '' '--reference' --metric chrf
cp short in
expect 1 '' 'stdin has 1 line, far has 2' --reference far
cp empty in
expect 1 '' 'stdin has no lines' --reference empty
[ "$failures" = 0 ] || { echo "$failures failures" && exit 1; }

if ! python3 -c 'import sacrebleu; assert int(sacrebleu.__version__.split(".")[0]) >= 2' 2> /dev/null; then
  echo "the command keeps its contract; skipped: python3 has no sacrebleu 2 to compare with"
  exit 0
fi
cat > compare.py << 'END'
import logging, random, subprocess, sys
from sacrebleu.metrics import BLEU, CHRF, TER
logging.disable(logging.CRITICAL)
METRICS = {"chrf": (CHRF(), CHRF()), "chrf++": (CHRF(word_order=2), CHRF(word_order=2)), "ter": (TER(), TER())}
for name in ("13a", "zh", "intl", "char", "none"):
    METRICS["bleu:" + name] = BLEU(tokenize=name), BLEU(tokenize=name, effective_order=True)
WORDS = """stove Ahi, ahjul «ahi» печь печь. 炉子 炉子。 暖かい 3.5 1,000 2-3 (warm) "warm" it's dogs' U.S.A. &amp; &lt;b&gt;
<skipped> - -- ... x/y a_b €5 5% ΟΔΟΣ İl 🔥 🔥🔥 . , ! cold the the the a a on of""".split()


def sentence(rng):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 30)))


def edited(rng, text):
    words = text.split()
    for _ in range(rng.randrange(5)):
        i = rng.randrange(len(words) + 1)
        words[i:i + rng.randrange(4)] = rng.sample(WORDS, rng.randrange(3))
        j = rng.randrange(len(words) + 1)
        words = words[j:] + words[:j] if rng.random() < .3 else words
    return " ".join(words)


def run(files, *options):
    references = [argument for name in files[1:] for argument in ("--reference", name)]
    with open(files[0], "rb") as hypotheses:
        output = subprocess.run([sys.argv[1], "metric", *references, "--metric", *METRICS, *options],
                                stdin=hypotheses, capture_output=True, check=True).stdout.decode()
    return [line.split("\t") for line in output.splitlines()]


def main():
    rng, worst = random.Random(3), 0
    for count in (1, 3):
        bases = [sentence(rng) for _ in range(60)]
        texts = [[edited(rng, base) for base in bases] for _ in range(count + 1)]
        files = [f"text{i}" for i in range(count + 1)]
        for name, lines in zip(files, texts):
            with open(name, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(line + "\n" for line in lines)
        for (name, found), (expected, metrics) in zip(run(files), METRICS.items()):
            assert name == expected, name
            worst = max(worst, abs(float(found) - metrics[0].corpus_score(texts[0], texts[1:]).score))
        for cells, hypothesis, *references in zip(run(files, "--sentence"), *texts):
            for found, (_, metric) in zip(cells, METRICS.values()):
                worst = max(worst, abs(float(found) - metric.sentence_score(hypothesis, references).score))
    assert worst < 1e-6, worst
    print(f"as sacreBLEU scores: largest difference {worst:.1e}, of six decimals")


main()
END
python3 compare.py "$QESTREL" || exit 1
