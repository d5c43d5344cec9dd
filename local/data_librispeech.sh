#!/usr/bin/env bash
# Prepares data/librispeech/{train_960,dev,dev_clean,dev_other,test_clean,test_other} from
# LibriSpeech (openslr.org/12), unpacked where LIBRISPEECH or --root says. Then train with
#   ./run.sh --skip_data_prep true --datadir data/librispeech --fs 16k \
#     --train_set train_960 --valid_set dev --test_sets "test_clean test_other"
# Run it in the recipe folder. All options: local/data_librispeech.sh --help
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
if [ -n "${LIBRISPEECH:-}" ]; then
  root=(--root "${LIBRISPEECH}")
fi
exec "${python}" -m espnet_ext data librispeech ${root[@]+"${root[@]}"} "$@"
