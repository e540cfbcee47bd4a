#!/usr/bin/env bash
# The CTranslate2 adapter, installed as a user installs it, against the real package from the Python registry.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
. "$SOURCE_DIR/tests/plugin/venv.sh"
venv "$folder/venv" ctranslate2
unset QESTREL_PLUGIN # the installation builds its own
"$python" -m pip install -q --disable-pip-version-check "$SOURCE_DIR/plugins/ctranslate2"
left=$(git -C "$SOURCE_DIR" status --short --ignored plugins/ctranslate2 2> /dev/null | grep -v __pycache__ | grep '^!!' || true)
[ -z "$left" ] || { echo "installing left files in the source tree: $left" && exit 1; }
PYTHONDONTWRITEBYTECODE=1 "$python" "$SOURCE_DIR/tests/plugin/test_ctranslate2.py"
