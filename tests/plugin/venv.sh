# Sourced. venv FOLDER PACKAGE...: a Python environment with these packages, in $python; where the registry cannot be
# reached the test is skipped, which is said.
venv() {
  local folder=$1
  shift
  python3 -m venv "$folder"
  python=$folder/bin/python
  if ! "$python" -m pip install -q --disable-pip-version-check "$@" > "$folder/pip.log" 2>&1; then
    if grep -qiE 'connection|timed out|name resolution|no matching distribution|proxy' "$folder/pip.log"; then
      echo "skipped: the Python registry cannot be reached"
      exit 0
    fi
    cat "$folder/pip.log"
    exit 1
  fi
}
