# shellcheck shell=bash disable=SC2034
#
# Where the LDC releases lie. An empty value means: not owned. The data preparation then
# says what the release is for and prepares the rest. A value from the environment wins:
#   SWBD=/corpora/LDC97S62 ./run.sh --corpus ldc
# Any unpacked layout will do: files are searched below each folder, in upper or lower
# case, and links are followed. Nothing is written there.

# Switchboard-1 release 2 (LDC97S62): training audio
SWBD="${SWBD:-}"
# MS-State transcripts (openslr.org/5); only if they are not below SWBD
SWBD_TRANS="${SWBD_TRANS:-}"

# Hub5 2000: audio (LDC2002S09), transcripts and GLM (LDC2002T43)
EVAL2000_AUDIO="${EVAL2000_AUDIO:-}"
EVAL2000_TRANS="${EVAL2000_TRANS:-}"
# Hub5 2001 (LDC2002S13)
HUB5E01="${HUB5E01:-}"
# Rich Transcription 2003, telephone part (LDC2007S10)
RT03="${RT03:-}"

# Fisher transcripts, parts 1 and 2 (LDC2004T19, LDC2005T19): language model text only
FISHER1="${FISHER1:-}"
FISHER2="${FISHER2:-}"

# Other corpora, each with a script of its own: local/data_librispeech.sh (the folder that
# holds LibriSpeech) and local/data_timit.sh (nltk_data/corpora/timit)
LIBRISPEECH="${LIBRISPEECH:-}"
TIMIT="${TIMIT:-}"
