"""ESPnet2 extension: the Switchboard-300h transducer experiments of RWTH Aachen."""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Speech2Text pulls in torch and ESPnet (10-20 s), so it is imported on first use.
    if name == "Speech2Text":
        from espnet_ext.bin.asr_inference import Speech2Text

        return Speech2Text
    raise AttributeError(f"module 'espnet_ext' has no attribute {name!r}")
