#!/usr/bin/env bash
# The header-only C++ adapter: compiled with all warnings, linked with the plugin, run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '{"total": -1}' > "$folder/weights"
"${CXX:-c++}" -std=c++17 -Wall -Wextra -Wpedantic -Wshadow -Werror -I "$SOURCE_DIR/plugins" "$SOURCE_DIR/tests/plugin/ctranslate2_hpp.cc" \
  -o "$folder/host" "$QESTREL_PLUGIN" "-Wl,-rpath,$(dirname "$QESTREL_PLUGIN")"
"$folder/host" "$folder/weights"
