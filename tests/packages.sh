# Sourced. need PACKAGE... makes sure that Debian or Ubuntu packages are installed: through apt, with sudo when not
# root; where that is impossible it says which ones are missing and stops.
need() {
  local missing=() package
  for package in "$@"; do
    [ "$(dpkg-query -W -f='${Status}\n' "$package" 2> /dev/null)" = 'install ok installed' ] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then as_root=(sudo -n); fi
  if ! command -v apt-get > /dev/null || ! "${as_root[@]}" true 2> /dev/null; then
    echo "missing packages, and no way to install them from here: ${missing[*]}" >&2
    echo "install them (their Debian names are given) and run this again" >&2
    exit 1
  fi
  echo "installing: ${missing[*]}" >&2
  {
    "${as_root[@]}" apt-get update
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
  } >&2 || {
    echo "apt-get could not install: ${missing[*]}" >&2
    exit 1
  }
}

# What building and running takes, and what the tests take beside it.
build_packages=(gcc make cmake pkg-config libc6-dev libopenblas-dev libarchive-dev libutf8proc-dev libjansson-dev
  libsodium-dev zlib1g-dev liblua5.4-dev lua-argparse)
test_packages=(lua5.4 libcmocka-dev lua-busted lua-check clang-format universal-ctags git bsdextrautils locales strace g++
  python3-venv apertium apertium-lex-tools apertium-eng-spa gnuplot-nox procps)
