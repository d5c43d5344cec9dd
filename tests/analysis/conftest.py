"""A small decoded experiment: a set with an STM and one of plain utterances."""

import numpy as np
import pytest
import soundfile

STM = (
    ';; LABEL "O" "Overall" ""\n;; LABEL "en" "CallHome" ""\n;; LABEL "sw" "Swbd" ""\n'
    "en_1 A en_1_A 0.00 2.00 <O,en> HE IS (%HESITATION) HERE\n"
    "en_1 B en_1_B 1.00 3.00 <O,en> IT'S UH-HUH { ONE / TWO } & <X>\n"
    "sw_2 A sw_2_A 0.00 2.00 <O,sw> WELL-KNOWN FACT\n"
    "sw_2 A sw_2_A 2.00 3.00 <O,sw>\n"
)
GLM = (
    ";; test\n* case_sensitive = 'F'\nUH-HUH => %BCACK / [ ] __ [ ]\n"
    "[IT'S] => [{IT'S / IT IS}] / [ ] __ [ ]\n"
)
SEGMENTS = {
    "en_1-A_000000-000200": ("en_1-A", 0, 2, "he is here", "he was here uh"),
    "en_1-B_000100-000300": (
        "en_1-B",
        1,
        3,
        "it's uh-huh two & <x>",
        "it is uh-huh two",
    ),
    "sw_2-A_000000-000200": ("sw_2-A", 0, 2, "well-known fact", "well known facts th-"),
    "sw_2-A_000200-000300": ("sw_2-A", 2, 3, "", ""),
}
LOG = (
    "[m] 2026-01-01 00:00:00,000 (trainer:365) INFO: {0}epoch results: [train] "
    "iter_time=0.001, loss_ctc={1:.3f}, loss={1:.3f}, optim0_lr0=1.000e-03, time=1 "
    "minute and 2.5 seconds, total_count=9, [valid] loss={2:.3f}, cer={3:.3f}, "
    "time=2.1 seconds, total_count=1\n"
)


@pytest.fixture
def experiment(tmp_path):
    """Folder with data/{hub,plain} and exp/asr_x/decode/{hub,plain}/text."""
    root = tmp_path / "a ü"
    rng = np.random.default_rng(1)
    hub, plain = root / "data" / "hub", root / "data" / "plain"
    for folder in (hub, plain):
        folder.mkdir(parents=True)
    (hub / "stm").write_text(STM)
    (hub / "glm").write_text(GLM)
    exp = root / "exp" / "asr_x"
    decode = exp / "decode"
    for name in ("hub", "plain"):
        (decode / name).mkdir(parents=True)
    lines = {"segments": [], "text": [], "utt2spk": [], "hyp": []}
    for utterance, (recording, start, end, text, hyp) in SEGMENTS.items():
        lines["segments"].append(f"{utterance} {recording} {start} {end}\n")
        lines["text"].append(f"{utterance} {text}\n")
        lines["utt2spk"].append(f"{utterance} {recording}\n")
        lines["hyp"].append(f"{utterance} {hyp}\n")
    for name in ("segments", "text", "utt2spk"):
        (hub / name).write_text("".join(lines[name]))
    (decode / "hub" / "text").write_text("".join(lines["hyp"]))
    for call in ("en_1", "sw_2"):
        soundfile.write(root / f"{call}.wav", rng.uniform(-0.1, 0.1, (32000, 2)), 8000)
    recordings = [("en_1", "A"), ("en_1", "B"), ("sw_2", "A")]
    (hub / "wav.scp").write_text(
        "".join(f"{c}-{s} {root / (c + '.wav')}\n" for c, s in recordings)
    )
    (hub / "reco2file_and_channel").write_text(
        "".join(f"{c}-{s} {c} {s}\n" for c, s in recordings)
    )
    (plain / "text").write_text("u1 press one\nu2 thank you\n")
    (plain / "utt2spk").write_text("u1 allison\nu2 allison\n")
    (plain / "wav.scp").write_text(f"u1 {root / 'en_1.wav'}\nu2 {root / 'gone.wav'}\n")
    (decode / "plain" / "text").write_text("u1 press done <b>now</b>\nu2 thank\n")
    (exp / "config.yaml").write_text("seed: 1\n")
    (exp / "train.log").write_text(
        "".join(LOG.format(e, 9 / e, 8 / e, 0.5 / e) for e in (1, 2, 3))
    )
    return root
