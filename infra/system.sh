#!/usr/bin/env bash
# Installs the Debian packages that are missing: those that the tests need, or, with the path of a
# Python, what that one lacks to make virtual environments.
set -euo pipefail
missing=()
if [ $# -gt 0 ]; then
  missing+=("$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')")
else
  command -v chromium >/dev/null || missing+=(chromium)
  command -v node >/dev/null || missing+=(nodejs)
  command -v ip >/dev/null || missing+=(iproute2)
  command -v openssl >/dev/null || missing+=(openssl)
  command -v git >/dev/null || missing+=(git)
  command -v unzip >/dev/null || missing+=(unzip)
  command -v redis-server >/dev/null || missing+=(redis-server)
  PATH="$PATH:/usr/sbin" command -v mariadbd >/dev/null || missing+=(mariadb-server)
fi
[ ${#missing[@]} -eq 0 ] && exit 0
install=(apt-get install -y --no-install-recommends "${missing[@]}")
if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}; install them with your package manager" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  apt-get update -q && DEBIAN_FRONTEND=noninteractive "${install[@]}"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  sudo apt-get update -q && sudo DEBIAN_FRONTEND=noninteractive "${install[@]}"
else
  echo "missing: ${missing[*]}; run: sudo ${install[*]}" >&2
  exit 1
fi
