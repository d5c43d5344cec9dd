#!/usr/bin/env bash
# Prepares data/{train,dev,hub5e_00,hub5e_01,rt03s,lm} and their like from the LDC releases named in
# db.sh, or from one folder that holds them all (--corpus_root, the embedded corpus).
# Run it in the recipe folder.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: local/data.sh [--check] [--stage N] [--stop_stage N] [--corpus_root DIR]
                     [--data_dir DIR] [--OPTION VALUE of "espnet-ext data prepare" ...]
  --check                only say what is there and what is missing; write nothing
  --stage, --stop_stage  1 check, 2 training, 3 evaluation sets, 4 text, 5 validate
  --corpus_root DIR      folder with LDC97S62, LDC2002S09, ...; default: roots of db.sh
  --data_dir DIR         results (default: data)
  --profile, --split, --concat, --nj, --cluster, ...
                         see: python -m espnet_ext data prepare --help
USAGE
}

stage=1
stop_stage=5
corpus_root=
data_dir=data
options=()
python="${python:-python3}"

while [ $# -gt 0 ]; do
  option="${1//-/_}"
  case "${option}" in
    __stage | __stop_stage | __corpus_root | __data_dir | __python)
      if [ $# -lt 2 ]; then
        echo "error: $1 needs a value" >&2
        exit 1
      fi
      printf -v "${option#__}" '%s' "$2"
      shift 2
      ;;
    __help | _h)
      usage
      exit 0
      ;;
    __) shift ;;
    *)
      options+=("$1") # the program knows its own options, and names the nearest
      shift
      ;;
  esac
done

roots=()
if [ -n "${corpus_root}" ]; then
  roots+=(--root "${corpus_root}")
elif [ -f db.sh ]; then
  # shellcheck source=egs2/swbd_repro/db.sh
  . ./db.sh
  for name in SWBD SWBD_TRANS EVAL2000_AUDIO EVAL2000_TRANS HUB5E01 RT03 FISHER1 FISHER2; do
    if [ -n "${!name:-}" ]; then
      roots+=("--${name,,}" "${!name}")
    fi
  done
else
  echo "error: no db.sh in $(pwd): run this in the recipe folder (egs2/swbd_repro)" >&2
  exit 1
fi

exec "${python}" -m espnet_ext data prepare ${roots[@]+"${roots[@]}"} \
  --data_dir "${data_dir}" --stage "${stage}" --stop_stage "${stop_stage}" \
  ${options[@]+"${options[@]}"}
