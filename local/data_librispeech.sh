#!/usr/bin/env bash
# Prepares data/librispeech/{train_960,dev,dev_clean,dev_other,test_clean,test_other} from
# LibriSpeech (openslr.org/12), unpacked where LIBRISPEECH or --root says. Then train with
#   ./run.sh --skip_data_prep true --datadir data/librispeech --fs 16k \
#     --train_set train_960 --valid_set dev --test_sets "test_clean test_other"
# Run it in the recipe folder. All options: local/data_librispeech.sh --help
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/one_corpus.sh" LIBRISPEECH librispeech "$@"
