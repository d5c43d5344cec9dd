# shellcheck shell=bash
# Sets PYTHON and PYTHONPATH for the recipe; sourced by run.sh in the recipe folder.
# PYTHON from the environment wins, then the repository's .venv, then python3.

_here="$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)"
ESPNET_EXT_ROOT="$(cd -- "${_here}/../.." && pwd -P)"
if [ -z "${PYTHON:-}" ]; then
  PYTHON=python3
  if [ -x "${ESPNET_EXT_ROOT}/.venv/bin/python" ]; then
    PYTHON="${ESPNET_EXT_ROOT}/.venv/bin/python"
  fi
fi
# programs that make installs without root (SCTK) lie beside the interpreter
if [ -d "${ESPNET_EXT_ROOT}/.venv/bin" ]; then
  export PATH="${ESPNET_EXT_ROOT}/.venv/bin:${PATH}"
fi
# a colon cannot stand in PYTHONPATH; then the package has to be installed
if [[ "${ESPNET_EXT_ROOT}" != *:* ]]; then
  PYTHONPATH="${ESPNET_EXT_ROOT}${PYTHONPATH:+:${PYTHONPATH}}"
  export PYTHONPATH
fi
# names and texts are UTF-8 and sorted by byte, whatever the locale of the machine
export PYTHON ESPNET_EXT_ROOT PYTHONUTF8=1 LC_ALL=C.UTF-8
unset _here
if ! "${PYTHON}" -c 'import importlib.util as u, sys
sys.exit(not all(map(u.find_spec, ("espnet2", "torch", "yaml"))))'; then
  echo "error: ${PYTHON} lacks ESPnet, torch or PyYAML" >&2
  echo "  next: make setup (in ${ESPNET_EXT_ROOT}), or name an interpreter that has" \
    "them: PYTHON=/path/to/python ./run.sh" >&2
  exit 1
fi
