"""Run an ESPnet module with our classes registered.

    python -m espnet_ext.run -m espnet2.bin.asr_inference --config ...

ESPnet's own command lines then know our encoders, decoders and models. Training is
redirected to ``espnet_ext.bin.asr_train``: worker processes that ESPnet spawns for
several GPUs import only what their target needs, and a target of ours registers.
"""

import runpy
import sys
from typing import List, Optional

from espnet_ext.errors import OptionError, run_main

REDIRECTED = {"espnet2.bin.asr_train": "espnet_ext.bin.asr_train"}


def launch(argv: List[str]) -> int:
    """Run ``-m MODULE [options]`` as the interpreter would."""
    if len(argv) < 2 or argv[0] != "-m":
        raise OptionError(
            f"cannot run {' '.join(argv) or 'nothing'}",
            expected="-m MODULE [options]",
            next_step="python -m espnet_ext.run -m espnet2.bin.asr_inference --help",
        )
    from espnet_ext.register import register

    register()
    module = REDIRECTED.get(argv[1], argv[1])
    sys.argv = [module, *argv[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: launch(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
