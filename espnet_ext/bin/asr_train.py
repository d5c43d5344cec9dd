"""Train a model: options of ``espnet2.bin.asr_train``, with our classes known.

python -m espnet_ext.bin.asr_train --config conf/train_demo.yaml ...
"""

import sys
from typing import Optional, Sequence

from espnet_ext.errors import run_main


def get_parser():
    """Options of the command (ESPnet's ASR task)."""
    from espnet_ext.tasks.asr import TransducerTask

    return TransducerTask.get_parser()


def main(cmd: Optional[Sequence[str]] = None) -> int:
    """Entry point; returns the exit status."""
    from espnet_ext.tasks.asr import TransducerTask

    return run_main(lambda: TransducerTask.main(cmd=cmd))


if __name__ == "__main__":
    sys.exit(main())
