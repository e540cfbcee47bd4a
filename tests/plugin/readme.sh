#!/usr/bin/env bash
# The program in plugins/README.md compiles and does what it says.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$SOURCE_DIR/plugins/README.md" > "$folder/host.c"
"${CC:-cc}" -std=c11 -Wall -Wextra -Werror -I "$SOURCE_DIR/plugins" "$folder/host.c" -o "$folder/host" "$QESTREL_PLUGIN" \
  "-Wl,-rpath,$(dirname "$QESTREL_PLUGIN")"
cd "$SOURCE_DIR"
"$folder/host" > "$folder/out"
grep -qE '^The boat .*fog\. \(-?[0-9]+\.[0-9]{3}\)$' "$folder/out" || { cat "$folder/out" && exit 1; }
