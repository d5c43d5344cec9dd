#!/usr/bin/env bash
# Switchboard transducers: settings of this recipe, then the stages of asr.sh in Python.
# ./run.sh trains and scores the demo; ./run.sh --help lists all options. Yours come
# after these settings and win, for example with the LDC releases named in db.sh:
#   ./run.sh --corpus ldc --exp start --nbpe 1000 \
#     --bpemode subword_nmt --max_wav_duration 20 --speed_perturb_factors "" --ngpu 1
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

# shellcheck source-path=SCRIPTDIR
. ./path.sh
# shellcheck source-path=SCRIPTDIR
. ./cmd.sh

settings=(
  --corpus embedded
  --lang en
  --fs 8k
  --audio_format wav # one and a half times as large as flac, read 2.5 times as fast
  --nj "${nj}"
  --inference_nj "${inference_nj}"
  --ngpu 0
  --use_lm false
  --lm_config conf/train_lm.yaml
  --token_type bpe
  --nbpe 150
  --feats_normalize utterance_mvn
  --speed_perturb_factors "0.85 0.92 1.0 1.08 1.16"
  --asr_config conf/train_demo.yaml
  --inference_config conf/decode_demo.yaml
  --inference_asr_model valid.loss.ave.pth
  --skip_packing false
)

# ./run.sh sweep ... decodes with several beam sizes or longer recordings
module=espnet_ext.recipe
if [[ "${1:-}" == sweep ]]; then
  module=espnet_ext.recipe.sweep
  shift
fi

exec "${PYTHON}" -m "${module}" "${settings[@]}" "$@"
