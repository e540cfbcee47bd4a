#!/usr/bin/env bash
# How the shipped weights of rerank were tuned, once, on lists of several systems' translations:
#
#   examples/rerank/defaults.sh MT-LISTS
#
# MT-LISTS holds tables <pair>.flores-dev.tsv. Without decoder scores the weights are what tune finds on et-en in random
# order, with and without the model; as it leaves the shipped models out, which judge unlike sentences and not candidates,
# the model keeps the largest weight of those tried that costs no pair more than .01 chrF. With decoder scores, the best system of a table stands for the decoder's first choice, and
# the margin is the smallest multiple of .05 whose mean loss against that system, over the pairs whose target is written
# with blanks, is at most .05 chrF.
set -euo pipefail
lists=$1
here=$(cd "$(dirname "$0")" && pwd)
qestrel=${QESTREL:-qestrel}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$qestrel" lua "$here/lists.lua" "$lists/et-en.flores-dev.tsv" "$folder/random" random
for features in MBR0 MBR0,QE0; do
  for metric in chrf bleu; do
    printf '\n%s, %s\n' "$features" "$metric"
    "$qestrel" tune --quiet -m "$here/../../models/et-en.qe" --nbest "$folder/random.jsonl" --source "$folder/random.source" \
      --reference "$folder/random.reference" --metric "$metric" --features "$features" -o "$folder/weights.json"
  done
done

printf '\npair\tmodel\tchrF\tBLEU\n'
for pair in ro-en et-en en-de; do
  "$qestrel" lua "$here/lists.lua" "$lists/$pair.flores-dev.tsv" "$folder/$pair" random
  for weight in 0 .03 .06 .13; do
    echo "{\"MBR0\": 1, \"QE0\": 0$weight}" | sed 's/: 00}/: 0}/' > "$folder/weights.json"
    "$qestrel" rerank --quiet --guards none --weights "$folder/weights.json" --source "$folder/$pair.source" \
      -m "$here/../../models/$pair.qe" < "$folder/$pair.jsonl" > "$folder/picks"
    for metric in chrf bleu; do
      "$qestrel" metric --metric "$metric" --reference "$folder/$pair.reference" < "$folder/picks" | cut -f 2
    done | paste - - | sed "s/^/$pair\t$weight\t/"
  done
done

printf '\npair\tmargin\tmoved\tchrF against the best system\n'
for pair in et-en ro-en ru-en en-de en-et en-ro; do
  "$qestrel" lua "$here/lists.lua" "$lists/$pair.flores-dev.tsv" "$folder/$pair" best
  for margin in .05 .1 .15 .2 .25; do
    echo "{\"MBR0\": 1, \"first\": 0$margin}" > "$folder/weights.json"
    "$qestrel" rerank --quiet --weights "$folder/weights.json" --source "$folder/$pair.source" --languages "$pair" \
      --reference "$folder/$pair.reference" --report "$folder/report" < "$folder/$pair.jsonl" > "$folder/picks"
    printf '%s\t%s\t%s\t%s\n' "$pair" "$margin" "$(awk '/^moved/ { print $2 }' "$folder/report")" \
      "$(awk '/^chrf/ { print $NF }' "$folder/report")"
  done
done | tee "$folder/table"
awk -F '\t' '{ sum[$2] += $4; n[$2]++ } END { for (m in sum) printf "mean\t%s\t\t%+.4f\n", m, sum[m] / n[m] }' "$folder/table" | sort -k 2
