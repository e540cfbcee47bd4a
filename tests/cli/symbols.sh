#!/usr/bin/env bash
# What the objects of the library refer to: scoring calls no libm, BLAS or allocator of its own, and no object of the
# library holds data that can change. Sanitizers and coverage put calls of their own into objects: skipped there.
set -euo pipefail
case $BUILD_DIR in
*/release) ;;
*) echo "skipped: not a release build" && exit 0 ;;
esac
cd "$BUILD_DIR"
failed=0
complain() {
  echo "$*" >&2
  failed=1
}

# From text to score. utf8proc's functions that are named here allocate nothing.
allowed='_GLOBAL_OFFSET_TABLE_|__cpu_model|mem(cmp|cpy|set|chr|move)|str(cmp|len)|snprintf|qsort'
allowed+='|__stack_chk_fail|memory_(new|grow|free|reserve)|error_(clear|memory|set)|pool_run|qe_pool_threads'
allowed+='|kernel_[a-z0-9]+|decoder_inputs|qe_params_(find|matrix|name)|qe_dataset_(pair|rows)|utf8_decode|utf8_is_letter'
allowed+='|architecture_matrix|(birnn|encoder|aligned|context|cover|evidence|sketch|grams|recent|forests?|surface)_[a-z_]+|vocabulary_unigram|(unigram|byte_trie)_[a-z_]+|fnv1a|text_(order|same|take|next_token)|qe_string|__popcountdi2'
allowed+='|vocabulary_ids|words_(free|split|take|of_windows)|counted_(levels|free)|room_(copy|lay|take|panels|head)|panels_(of|turned)|work_[a-z]+|score_run|shared_free|windows_(score|free)|encoding_work_free|scorer_run|qe_score|qe_model_word_threshold'
allowed+='|utf8proc_(category|decompose_char|encode_char|get_property|normalize_utf32|tolower)'
for source in score score_words windows room birnn_fold birnn_score birnn_list encoder_fold encoder_score aligned_fold aligned_score recent surface forest evidence sketch grams text unigram byte_trie vocabulary decoder kernel; do
  objects=$(find CMakeFiles -path '*/src/*' -name "$source.c.o")
  [ -n "$objects" ] || complain "no object of $source.c"
  for object in $objects; do
    names=$(nm -u "$object" | awk '{ print $NF }')
    foreign=$(grep -vxE "$allowed" <<< "$names" || true)
    [ -z "$foreign" ] || complain "$object refers to: $foreign"
  done
done

# Constants that hold addresses stand in .data.rel.ro, which the loader closes after relocation.
changing=$(objdump -h libqestrel.a | awk '$2 ~ /^\.(data|bss)/ && $2 !~ /^\.data\.rel\.ro/ && $3 !~ /^0+$/')
[ -z "$changing" ] || complain "libqestrel.a holds data that can change: $changing"
exit "$failed"
