#!/usr/bin/env bash
# Runs every command of the README that is marked to be run, on generated tables, and checks that code quoted in the
# README is the code in examples/.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
ln -s "$SOURCE_DIR/models" "$SOURCE_DIR/examples" .
mkdir -p bin tests/parity
ln -s "$SOURCE_DIR/tests/parity/bert" tests/parity/bert
ln -s "$QESTREL" bin/qestrel
export PATH=$folder/bin:$PATH
if [[ $(ldd "$QESTREL") =~ lib[at]san ]]; then # plain lua5.4 cannot load a sanitized module
  printf '#!/bin/sh\nexec qestrel lua "$@"\n' > bin/lua5.4
  chmod +x bin/lua5.4
fi
cat > data.lua << 'END'
local qe = require "qestrel"
local generate = dofile "examples/generate.lua"
for name, count in pairs { train = 200, dev = 60 } do
  local rows = generate.rows(qe, count, #name)
  generate.write(name .. ".tsv", rows, { score = generate.judged(qe, rows, 0.1, #name) })
end
END
qestrel lua data.lua
sed -n '/^```sh run$/,/^```$/p' "$SOURCE_DIR/README.md" | grep -v '^```' > commands
[ "$(wc -l < commands)" -ge 12 ]
while IFS= read -r line; do
  bash -c "set -euo pipefail; $line" > out 2> err < /dev/null || { echo "README: $line: $(cat err)" && exit 1; }
done < commands
cmp again.qe models/et-en.qe
sed -n '/^```lua$/,/^```$/p' "$SOURCE_DIR/README.md" | grep -v '^```' > quoted
tail -n +2 examples/my_recipe.lua | cmp - quoted
while IFS= read -r line; do
  grep -qF -- "$(echo "$line" | sed 's|"models/et-en.qe"|arguments[1]|; s/^ *//; s/qe_string("Tere!")/qe_string(arguments[2])/; s/qe_string("Hello!")/qe_string(arguments[3])/; s/^if (qe_model_open/qe_model_open/; s/^return fprintf.*/qe_model_error(model)), 1;/')" \
    examples/c/score.c || { echo "README's C example is not examples/c/score.c: $line" && exit 1; }
done < <(sed -n '/^```c$/,/^```$/p' "$SOURCE_DIR/README.md" | grep -v '^```')
for file in $(grep -oE '\b(src|tests|examples|models|lua)/[A-Za-z0-9_./-]+\.[a-z]+' "$SOURCE_DIR/README.md" | sort -u); do
  [ -e "$SOURCE_DIR/$file" ] || { echo "README names $file, which is not there" && exit 1; }
done
echo "the README holds: $(wc -l < commands) commands"
