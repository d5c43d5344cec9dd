"""Run an ESPnet module with our classes registered.

    python -m espnet_ext.run -m espnet2.bin.asr_inference --config ...

ESPnet's own command lines then know our encoders, decoders and models. Training is
redirected to ``espnet_ext.bin.asr_train``: worker processes that ESPnet spawns for
several GPUs import only what their target needs, and a target of ours registers.

``--warprnnt-shim`` before ``-m`` lets ESPnet's own transducers train and decode where
the package warprnnt_pytorch is missing.
"""

import runpy
import sys
from typing import List, Optional

from espnet_ext.errors import OptionError, run_main

SHIM_OPTIONS = ("--warprnnt-shim", "--warprnnt_shim")
REDIRECTED = {"espnet2.bin.asr_train": "espnet_ext.bin.asr_train"}


def launch(argv: List[str]) -> int:
    """Run ``[--warprnnt-shim] -m MODULE [options]`` as the interpreter would."""
    with_shim = argv[:1] and argv[0] in SHIM_OPTIONS
    argv = argv[1:] if with_shim else argv
    if len(argv) < 2 or argv[0] != "-m":
        raise OptionError(
            f"cannot run {' '.join(argv) or 'nothing'}",
            expected="[--warprnnt-shim] -m MODULE [options]",
            next_step="python -m espnet_ext.run -m espnet2.bin.asr_inference --help",
        )
    from espnet_ext.register import register

    register()
    if with_shim:
        from espnet_ext.asr.loss.warprnnt_shim import install

        install()
    module = REDIRECTED.get(argv[1], argv[1])
    sys.argv = [module, *argv[2:]]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    """Entry point; returns the exit status."""
    return run_main(lambda: launch(sys.argv[1:] if argv is None else argv))


if __name__ == "__main__":
    sys.exit(main())
