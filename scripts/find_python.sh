#!/usr/bin/env bash
# Prints the path of a Python this project can use (3.12, else 3.13), or says on
# standard error how to get one and fails. PYTHON=... names one and forbids a search.
set -euo pipefail

# A version manager may put a python3.12 on the PATH that only prints "not installed",
# and distributions ship Python without ensurepip: so every candidate is tried by running.
probe='
import sys, sysconfig
version = sys.version_info[:2]
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
if version not in ((3, 12), (3, 13)) or free_threaded:
    sys.exit(f"it is Python {sys.version.split()[0]}" + " (free-threaded)" * free_threaded)
try:
    import ensurepip, venv
except ImportError:
    sys.exit(f"it cannot make virtual environments: install python3.{version[1]}-venv")
print(sys.executable)
'

try() {
    command -v "$1" >/dev/null || { echo "it is no program"; return 1; }
    "$1" -c "${probe}" 2>&1
}

how_to_get_one() {
    cat >&2 <<'TEXT'
error: Python 3.12 or 3.13 is needed and none was found on this machine
  next: install one in any of these ways, then run the same command again
    pyenv install 3.12                          any Linux, with pyenv, builds it
    uv python install 3.12                      any Linux, with uv, downloads it
    apt-get install python3.12 python3.12-venv  Ubuntu 24.04 (older: add the deadsnakes archive)
    apt-get install python3 python3-venv        Debian 13 and newer (Python 3.13)
    dnf install python3.12                      Fedora, RHEL 9 and its kin
  or name one that is not on the PATH:  make demo PYTHON=/path/to/python3.12
TEXT
    if [[ -n "${reasons}" ]]; then
        printf 'What was tried:\n%s' "${reasons}" >&2
    fi
}

if [[ -n "${PYTHON:-}" ]]; then
    if answer="$(try "${PYTHON}")"; then
        printf '%s\n' "${answer##*$'\n'}"
        exit 0
    fi
    printf 'error: PYTHON=%s cannot be used: %s\n' "${PYTHON}" "${answer##*$'\n'}" >&2
    printf '  expected: Python 3.12 or 3.13 with venv and ensurepip\n' >&2
    exit 1
fi

shopt -s nullglob
candidates=()
for minor in 12 13; do
    candidates+=("python3.${minor}")
    for folder in "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}/versions" \
        "${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}/uv/python"; do
        candidates+=("${folder}/"*"3.${minor}".*/bin/"python3.${minor}")
    done
done
candidates+=(python3 python)

reasons=""
for candidate in "${candidates[@]}"; do
    command -v "${candidate}" >/dev/null 2>&1 || continue
    if answer="$(try "${candidate}")"; then
        printf '%s\n' "${answer##*$'\n'}"
        exit 0
    fi
    reasons+="  ${candidate}: ${answer##*$'\n'}"$'\n'
done
how_to_get_one
exit 1
