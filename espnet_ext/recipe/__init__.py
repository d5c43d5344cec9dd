"""The recipe driver: stages 1-14 of ESPnet2's asr.sh as Python functions.

``cli`` reads the options and walks through ``stages``; ``state`` decides which stage
has anything to do; ``jobs`` runs child processes. Nothing here imports torch or ESPnet:
those run in the children, so that ``--help`` and a finished recipe answer at once.
"""
