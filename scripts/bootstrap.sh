#!/usr/bin/env bash
# Makes or completes .venv: Python, the pinned packages, this package, SCTK.
# usage: scripts/bootstrap.sh [EXTRA]...   (extras of setup.py, for example: test)
#
# Cheap when nothing is to be done: a stamp says what was installed from which files.
# An interrupted installation leaves a marker, and the next call starts it over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
venv=".venv"
stamp="${venv}/.installed" # first line: key of what it was made from; second: extras
marker="${venv}/.unfinished"
need_gb=10 # environment 6, wheels while they are unpacked 3, the demo 1

unset PYTHONHOME    # would point the new environment at foreign modules
export PYTHONUTF8=1 # the path of the checkout may not be ASCII
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

fail() {
    printf 'error: %s\n  next: %s\n' "$1" "$2" >&2
    exit 1
}

pin() { grep "^$1==" constraints.txt; }

# The checkout's path belongs to the key, because an editable installation stores it.
key() { printf '%s' "$(cat setup.py constraints.txt)${root}" | sha256sum; }

installed() {
    [[ -f "${stamp}" && ! -e "${marker}" ]] || return 1
    local lines extra
    mapfile -t lines <"${stamp}"
    [[ "${lines[0]:-}" == "${wanted_key}" ]] || return 1
    for extra in "${extras[@]}"; do
        [[ " ${lines[1]:-} " == *" ${extra} "* ]] || return 1
    done
    "${venv}/bin/python" -c '' 2>/dev/null
}

make_venv() {
    local python free_gb
    if [[ -e "${marker}" ]]; then
        echo "the last installation was interrupted: starting it again"
        rm -rf "${venv}"
    elif [[ -f "${stamp}" ]]; then
        touch "${marker}"
        if "${venv}/bin/python" -c '' 2>/dev/null; then return; fi
        echo "the Python that ${venv} was made with is gone: starting again"
        rm -rf "${venv}"
    elif [[ -e "${venv}" ]] && ! rmdir "${venv}" 2>/dev/null; then
        fail "${root}/${venv} exists and was not made by this script" \
            "move it away, then run the same command again"
    fi
    python="$(scripts/find_python.sh)"
    free_gb="$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024 / 1024))"
    if ((free_gb < need_gb)); then
        fail "only ${free_gb} GB are free in ${root}; ${need_gb} GB are needed" \
            "free some space, or clone to a larger disk"
    fi
    echo "making ${venv} with ${python}"
    mkdir "${venv}"
    touch "${marker}"
    "${python}" -m venv "${venv}"
}

# pip's hundreds of lines go to the log; of them the user sees that it moves.
show_progress() {
    awk '
        /^(Collecting|Processing)/ && ++count % 25 == 0 { print "  " count " packages" }
        /^Installing collected/ && count > 2 { print "  unpacking " count " packages" }
        /^ERROR/ { print }
        { fflush() }'
}

pip_install() {
    "${venv}/bin/python" -m pip install --progress-bar off "$@"
}

install_packages() {
    local log="${venv}/install.log"
    echo "installing about 115 packages: 3 GB to fetch, 6 GB on disk (log: ${log})"
    # pip unpacks in TMPDIR, and /tmp is a small memory disk on many machines
    mkdir -p "${venv}/tmp"
    export TMPDIR="${root}/${venv}/tmp"
    # Wheels only, so that no compiler is ever needed; antlr4 is pure Python and is
    # built with the setuptools installed before it rather than with a fetched one.
    {
        pip_install "$(pin pip)" "$(pin setuptools)" &&
            pip_install --no-build-isolation \
                --only-binary :all: --no-binary antlr4-python3-runtime \
                --constraint constraints.txt \
                --editable ".${all_extras:+[${all_extras// /,}]}"
    } 2>&1 </dev/null | tee "${log}" | show_progress ||
        fail "the packages could not be installed; the end of ${log} says why" \
            "check the network and run the same command again (fetched files are kept)"
    unset TMPDIR
    rm -rf "${venv}/tmp"
}

interrupted() {
    echo "interrupted: the same command starts the installation again" >&2
    exit 130
}
trap interrupted INT TERM

extras=("$@")
wanted_key="$(key)"
if installed; then exit 0; fi

# One installation at a time: `make demo` and `make test` may be started together.
exec 9<"${root}"
if command -v flock >/dev/null && ! flock --nonblock 9; then
    echo "waiting for another installation in this checkout"
    flock 9
    if installed; then exit 0; fi
fi

SECONDS=0
all_extras="${extras[*]}"
if [[ -f "${stamp}" && ! -e "${marker}" ]]; then # keep what was asked for before
    all_extras="$({ printf '%s\n' "$@"; sed -n '2s/ /\n/gp' "${stamp}"; } |
        sort -u | xargs)"
fi
make_venv
install_packages
(cd / && "${root}/${venv}/bin/python" -c 'import espnet, espnet_ext, torch, torchaudio') ||
    fail "the installed packages cannot be imported" \
        "rm -r '${root}/${venv}', then run the same command again"
scripts/install_sctk.sh
printf '%s\n%s\n' "${wanted_key}" "${all_extras}" >"${stamp}"
rm -f "${marker}"
echo "installation ready after ${SECONDS} s"
