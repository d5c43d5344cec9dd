#!/usr/bin/env bash
# Puts NIST's scoring tools (sclite, hubscr) into .venv, from the Debian package, without
# root: nothing outside .venv changes. Where that is impossible it says so and succeeds,
# because the built-in scorer takes over.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
target="${root}/.venv/opt"
limit=(timeout --kill-after=5 60)

found="$(PATH="${root}/.venv/bin:${PATH}" command -v sctk sclite | head -n 1 || true)"
if [[ -n "${found}" ]]; then
    echo "scoring tools: ${found}"
    exit 0
fi

give_up() {
    echo "notice: no sclite ($1); the built-in scorer is used, which gives the same counts."
    echo "  To have NIST's own: install the package sctk (Debian, Ubuntu), or: make sctk"
    exit 0
}

for tool in apt-get dpkg-deb timeout; do
    command -v "${tool}" >/dev/null || give_up "this machine has no ${tool}"
done
mkdir -p "${target}"
work="$(mktemp -d "${target}/sctk.XXXXXX")"
trap 'rm -rf "${work}"' EXIT
cd "${work}"

# The system's package lists may be absent (containers) or old: then with own ones,
# which needs no root either. The time limit guards against a proxy that never answers.
mkdir -p state/lists/partial cache/archives/partial
sandbox=(-q -o "APT::Sandbox::User=$(id -un)")
own_lists=(-o "Dir::State=${work}/state" -o "Dir::State::Lists=${work}/state/lists"
    -o "Dir::State::status=/var/lib/dpkg/status" -o "Dir::Cache=${work}/cache"
    -o "Debug::NoLocking=1")
{
    "${limit[@]}" apt-get "${sandbox[@]}" download sctk || {
        "${limit[@]}" apt-get "${sandbox[@]}" "${own_lists[@]}" update &&
            "${limit[@]}" apt-get "${sandbox[@]}" "${own_lists[@]}" download sctk
    }
} >apt.log 2>&1 </dev/null || give_up "apt-get could not fetch the package sctk"
dpkg-deb -x sctk_*.deb files || give_up "the package sctk could not be unpacked"
usage="$(files/usr/lib/sctk/bin/sclite 2>&1 </dev/null || true)" # fails: no arguments
[[ "${usage}" == *sclite* ]] || give_up "the packaged sclite does not run here"

rm -rf "${target}/sctk"
mv files/usr/lib/sctk "${target}/sctk"
# The package's own wrapper names /usr/lib; this one finds the tools beside it.
cat >"${target}/sctk/sctk" <<'WRAPPER'
#!/bin/sh
# sctk PROGRAM [arguments]: runs one of NIST's scoring programs.
bin="$(dirname "$(readlink -f "$0")")/bin"
PATH="${bin}:${PATH}"
export PATH
if [ "$1" = path ]; then
    echo "${bin}"
    exit 0
fi
program="$1"
shift
for suffix in "" .pl .sh; do
    if [ -x "${bin}/${program}${suffix}" ]; then exec "${bin}/${program}${suffix}" "$@"; fi
done
echo "sctk: no program ${program}" >&2
exit 127
WRAPPER
chmod +x "${target}/sctk/sctk"
mkdir -p "${root}/.venv/bin"
ln -sf ../opt/sctk/sctk "${root}/.venv/bin/sctk"
echo "scoring tools: .venv/bin/sctk (Debian package sctk, unpacked)"
