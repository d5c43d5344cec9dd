#!/usr/bin/env bash
# Prepares data/timit/{train,dev} (144 and 16 utterances) from the TIMIT sample of NLTK,
# nltk_data/corpora/timit, which TIMIT or --root names. Then train on its phones with
#   ./run.sh --skip_data_prep true --datadir data/timit --fs 16k --token_type word \
#     --train_set train --valid_set dev --test_sets dev
# Run it in the recipe folder. All options: local/data_timit.sh --help
set -euo pipefail
exec "$(dirname "${BASH_SOURCE[0]}")/one_corpus.sh" TIMIT timit "$@"
