"""Speaks a list of texts with one voice, in a process of its own.

Called as ``python espeak_worker.py JOB.json OUT.npz``. The library may crash after
many changes of voice and text; then only this process ends. It imports nothing of the
package, so that it starts in a tenth of a second.

JOB.json: ``{"voice": "en-us+f1", "rate_wpm": 170, "pitch": 50, "texts": {key: text}}``.
OUT.npz: ``rate``, and for each key int16 samples [N] and, as ``key.words``, int32 rows
[words, 2] of the character position (from 0) of a word and its first sample.

Ref: espeak-ng ``speak_lib.h``, synchronous retrieval mode with event list.
"""

import ctypes
import json
import os
import sys

import numpy as np

SYNCHRONOUS = 2  # mode 1 calls back from another thread, which Python must not see
RATE, PITCH = 1, 3
CHARACTERS_UTF8 = 1
EVENT_END, EVENT_WORD = 0, 1


class Event(ctypes.Structure):
    """``espeak_EVENT``."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    ]


CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)


class Voice:
    """The library set to one voice."""

    def __init__(self, name: str, rate_wpm: int, pitch: int):
        import espeakng_loader

        self.library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        self.library.espeak_Synth.argtypes = [
            ctypes.c_char_p,
            ctypes.c_size_t,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        data = os.fsencode(espeakng_loader.get_data_path())
        self.rate = self.library.espeak_Initialize(SYNCHRONOUS, 0, data, 0)
        if self.rate <= 0:
            raise SystemExit(f"espeak_Initialize returned {self.rate}")
        self._callback = CALLBACK(self._receive)  # kept: the library holds a pointer
        self.library.espeak_SetSynthCallback(self._callback)
        if self.library.espeak_SetVoiceByName(name.encode()) != 0:
            raise SystemExit(f"espeak-ng has no voice {name}")
        self.library.espeak_SetParameter(RATE, rate_wpm, 0)
        self.library.espeak_SetParameter(PITCH, pitch, 0)

    def _receive(self, samples, count, events) -> int:
        if samples and count > 0:
            self._chunks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        index = 0
        while events[index].type != EVENT_END:
            if events[index].type == EVENT_WORD:
                event = events[index]
                self._words.append((event.text_position - 1, event.sample))
            index += 1
        return 0

    def say(self, text: str):
        """int16 samples [N] and the rows (position, first sample) of the words."""
        self._chunks, self._words = [], []
        data = text.encode()
        status = self.library.espeak_Synth(
            data, len(data) + 1, 0, 1, 0, CHARACTERS_UTF8, None, None
        )
        if status != 0 or not self._chunks:
            raise SystemExit(
                f"espeak_Synth returned {status} and no sound for {text!r}"
            )
        words = np.array(self._words, dtype=np.int32).reshape(-1, 2)
        return np.concatenate(self._chunks), words


def main(job_path: str, out_path: str) -> None:
    """Speak the texts of one job."""
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    voice = Voice(job["voice"], job["rate_wpm"], job["pitch"])
    arrays = {"rate": np.int32(voice.rate)}
    for key, text in job["texts"].items():
        arrays[key], arrays[f"{key}.words"] = voice.say(text)
    partial = out_path + ".part.npz"
    np.savez(partial, **arrays)
    os.replace(partial, out_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
