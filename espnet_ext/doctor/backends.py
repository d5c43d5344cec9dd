"""Optional packages: which are there, what each is for, why one cannot be used."""

import importlib
import importlib.util
import warnings
from typing import NamedTuple, Tuple

from espnet_ext.doctor.finding import NOTE, OK, WARNING, Finding, Findings
from espnet_ext.doctor.versions import version_of

SECTION = "optional packages"


class Backend(NamedTuple):
    """An optional package: import name, distribution, purpose, how to get it."""

    module: str
    package: str
    purpose: str
    get: str


BACKENDS: Tuple[Backend, ...] = (
    Backend(
        "warp_rnnt",
        "warp-rnnt",
        "RNN-T loss on GPUs",
        "pip install -c constraints.txt -e '.[cuda]' where a GPU and nvcc are",
    ),
    Backend("triton", "triton", "fused kernels on GPUs", "comes with torch on Linux"),
    Backend("k2", "k2", "pruned RNN-T loss, for comparisons", "see k2's own wheels"),
    Backend("omniio", "omniio", "Kaldi archives (MIT)", "comes with ESPnet"),
    Backend(
        "kaldiio",
        "kaldiio",
        "Kaldi archives (NTT's licence allows evaluation only)",
        "not needed, omniio does the same; else pip install -e '.[kaldi]'",
    ),
    Backend(
        "kenlm",
        "kenlm",
        "n-gram language models",
        "pip install -c constraints.txt -e '.[lm]' (needs a compiler)",
    ),
    Backend(
        "dask_jobqueue",
        "dask-jobqueue",
        "jobs on a Slurm cluster",
        "pip install -c constraints.txt -e '.[cluster]'",
    ),
    Backend("onnxruntime", "onnxruntime", "running exported models", "pip install it"),
)


def check_backends(quick: bool, backends: Tuple[Backend, ...] = BACKENDS) -> Findings:
    """One line a package; ``quick`` looks whether it is there and imports nothing."""
    for backend in backends:
        yield check_backend(backend, quick)


def check_backend(backend: Backend, quick: bool) -> Finding:
    """Whether one package can be used, or why not."""
    name, purpose = backend.module, backend.purpose
    if importlib.util.find_spec(name) is None:
        return Finding(SECTION, name, NOTE, f"absent: {purpose}", backend.get)
    version = version_of(backend.package) or "version unknown"
    if not quick:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
        # a broken extension module may raise anything; the reason is what is shown
        except Exception as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            value = f"{version}, but its import fails: {reason}"
            return Finding(SECTION, name, WARNING, value, backend.get)
    return Finding(SECTION, name, OK, f"{version}: {purpose}")
