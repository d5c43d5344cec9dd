#!/usr/bin/env bash
# From a fresh clone to a word error rate, on the corpus that the recipe makes itself.
# usage: scripts/demo.sh [options of egs2/swbd_repro/run.sh]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/bootstrap.sh
export PATH="$PWD/.venv/bin:${PATH}"
unset PYTHON # it named the interpreter to make .venv with

cd egs2/swbd_repro
./run.sh --corpus embedded --asr_config conf/train_demo.yaml "$@"

report="$(find exp -name index.html -printf '%T@ %p\n' 2>/dev/null | sort -n | tail -n 1)"
if [[ -n "${report}" ]]; then
    echo "report page: $PWD/${report#* }"
fi
printf 'make demo took %d min %02d s\n' "$((SECONDS / 60))" "$((SECONDS % 60))"
