#!/usr/bin/env bash
# Fuzzes every target for SECONDS_EACH seconds with libFuzzer, ASan and UBSan, from its corpus; new finds stay under
# .build/fuzz. usage: tests/fuzz/run.sh [SECONDS_EACH] [TARGET...]
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/tests/packages.sh"
need clang libclang-rt-14-dev
seconds=${1:-60}
shift || true
cmake -S "$root" -B "$root/.build/fuzz" -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug \
  -DQESTREL_SANITIZE=fuzzer-no-link,address,undefined -DBUILD_TESTING=OFF > /dev/null
cmake --build "$root/.build/fuzz" --parallel --target qestrel_static
for source in "$root"/tests/fuzz/fuzz_*.c; do
  name=$(basename "$source" .c)
  target=${name#fuzz_}
  [ $# -eq 0 ] || [[ " $* " == *" $target "* ]] || continue
  clang -g -O1 -D_GNU_SOURCE -DQE_STATIC -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -I"$root/src" "$source" \
    "$root/.build/fuzz/libqestrel.a" $(pkg-config --cflags --libs openblas libarchive libutf8proc jansson libsodium zlib) \
    -lpthread -lm -o "$root/.build/fuzz/$name"
  mkdir -p "$root/.build/fuzz/found/$target"
  echo "== $target"
  "$root/.build/fuzz/$name" -max_total_time="$seconds" -rss_limit_mb=1024 -max_len=65536 -artifact_prefix="$root/.build/fuzz/found/" -print_final_stats=1 \
    "$root/.build/fuzz/found/$target" "$root/tests/fuzz/corpus/$target" 2>&1 | grep -E 'stat::number_of_executed|ERROR|SUMMARY|cov:' | tail -3
done
