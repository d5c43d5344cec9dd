#!/usr/bin/env bash
# Prepares data/timit/{train,dev} (144 and 16 utterances) from the TIMIT sample of NLTK,
# nltk_data/corpora/timit, which TIMIT or --root names. Then train on its phones with
#   ./run.sh --skip_data_prep true --datadir data/timit --fs 16k --token_type word \
#     --train_set train --valid_set dev --test_sets dev
# Run it in the recipe folder. All options: local/data_timit.sh --help
set -euo pipefail

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
if [ -n "${TIMIT:-}" ]; then
  root=(--root "${TIMIT}")
fi
exec "${python}" -m espnet_ext data timit ${root[@]+"${root[@]}"} "$@"
