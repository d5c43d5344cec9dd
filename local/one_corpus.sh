#!/usr/bin/env bash
# Prepares a corpus that has one root folder.
# usage: local/one_corpus.sh VARIABLE VERB [OPTION...]
#   VARIABLE  of db.sh, holds the folder; --root wins
#   VERB      of "espnet-ext data", gets the options
set -euo pipefail

variable="$1" verb="$2"
shift 2
if [ ! -f db.sh ]; then
  echo "error: no db.sh in $(pwd): run this in the recipe folder (egs2/swbd_repro)" >&2
  exit 1
fi
if [ -z "${python:-}" ]; then
  # shellcheck source=egs2/swbd_repro/path.sh
  . ./path.sh
  python="${PYTHON}"
fi
# shellcheck source=egs2/swbd_repro/db.sh
. ./db.sh
root=()
if [ -n "${!variable:-}" ]; then
  root=(--root "${!variable}")
fi
exec "${python}" -m espnet_ext data "${verb}" ${root[@]+"${root[@]}"} "$@"
