# shellcheck shell=bash disable=SC2034
# How many jobs run at the same time; sourced by run.sh. All run on this machine, as
# child processes that share its cores, so there is no job runner to choose.

nj="${NJ:-$(nproc)}"
inference_nj="${INFERENCE_NJ:-${nj}}"
