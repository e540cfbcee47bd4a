#!/usr/bin/env bash
# What clang-format, luacheck and ctags say about the sources. Prints the figures that describe them.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t c_files < <(find src lua tests plugins examples \( -name '*.c' -o -name '*.h' \) 2> /dev/null | sort)
clang-format --dry-run --Werror "${c_files[@]}"
luacheck -q lua tests examples
ctags -R --languages=C --kinds-C=f --fields=+ne -x --_xformat='%{input} %{line} %{end}' src lua tests |
  awk '{ n = $3 - $2 + 1; print n, $1 ":" $2 }' | sort -n > /tmp/qestrel-functions.$$
trap 'rm -f /tmp/qestrel-functions.$$' EXIT
awk '{ length_[NR] = $1; if ($1 > 120) { print "too long: " $0; bad = 1 } }
  END { printf "%d functions, median %d lines, 90th percentile %d\n", NR, length_[int((NR + 1) / 2)], length_[int(NR * .9)]
        exit bad || NR == 0 }' /tmp/qestrel-functions.$$
for recipe in lua/qestrel/recipes/*.lua; do
  lines=$(grep -cvE '^[[:space:]]*(--.*)?$' "$recipe")
  if [ "$lines" -gt 60 ]; then echo "$recipe: $lines lines of code, more than 60" && exit 1; fi
done
if grep -rnE '(^|[^a-zA-Z0-9_.~])/(home|root|work)/' --include='*' src lua tests examples models README.md CMakeLists.txt 2> /dev/null |
  grep -v 'tests/style.sh'; then
  echo "an absolute path" && exit 1
fi
printf '%d lines of C, %d of Lua\n' "$(cat $(find src lua -name '*.c' -o -name '*.h' | sort) | wc -l)" "$(cat $(find lua -name '*.lua') | wc -l)"
