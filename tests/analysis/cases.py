"""Random references and hypotheses that use every feature of NIST's notation."""

import random
from pathlib import Path
from typing import List, Sequence

WORDS = (
    "uh um yeah right okay i'm he's it's don't well-known theater theatre gonna u. s. "
    "a. the a of and to that we're aren't wanna can't huckelby mr mrs. police officer "
    "th- -out ab- w- mm-hm uh-huh adviser going on no know hundred twenty"
).split()
HEADER = (
    ';; CATEGORY "0" "" ""\n;; LABEL "O" "Overall" "Overall"\n'
    ';; CATEGORY "1" "Corpus" ""\n;; LABEL "en" "CallHome" "CallHome"\n'
    ';; LABEL "sw" "Switchboard" "Switchboard"\n'
    ';; CATEGORY "2" "Sex" ""\n;; LABEL "F" "Female" ""\n;; LABEL "M" "Male" ""\n'
)


def glm_sources(path: Path) -> List[str]:
    """Left sides of the rules of a GLM, as words to put into random texts."""
    found = []
    for line in path.read_text(encoding="latin-1").splitlines():
        if "=>" in line and not line.startswith((";;", "*")):
            found.append(line.split("=>")[0].strip().strip('[]"').strip())
    return [source for source in found if not set(source) & set("{}()/;*@\\")]


def random_reference(rng: random.Random, vocabulary: Sequence[str]) -> str:
    """A reference text with optional words, alternatives and fragments."""
    parts = []
    for _ in range(rng.randrange(0, 12)):
        word, kind = rng.choice(vocabulary), rng.random()
        if kind < 0.12:
            parts.append(f"({word})" if " " not in word else word)
        elif kind < 0.16:
            parts.append(f"({word} {rng.choice(WORDS)})")
        elif kind < 0.24:
            options = [
                " ".join(rng.choices(WORDS, k=rng.randrange(1, 4)))
                for _ in range(rng.randrange(1, 4))
            ]
            options += ["@"] * (rng.random() < 0.4)
            if rng.random() < 0.2:
                options.append("{ a / b c } " + rng.choice(WORDS))
            rng.shuffle(options)
            parts.append("{ " + " / ".join(options) + " }")
        else:
            parts.append(word)
    return " ".join(parts)


def spoken(rng: random.Random, reference: str, vocabulary: Sequence[str]) -> List[str]:
    """A hypothesis for a reference: one alternative, with random word errors."""
    words = []
    for token in reference.replace("(", " ").replace(")", " ").split():
        if token in "{}/@" and rng.random() < 0.97:
            continue
        chance = rng.random()
        if chance < 0.12:
            continue
        if chance < 0.3:
            words.append(rng.choice(vocabulary).split()[0])
        if chance < 0.2:
            continue
        words.append(token)
    return [word for word in words if word not in "{}/@"]


def write_case(
    folder: Path, seed: int, segments: int, vocabulary: Sequence[str] = WORDS
) -> None:
    """Write ref.stm and hyp.ctm with about ``segments`` segments on many sides."""
    rng = random.Random(seed)
    stm, ctm = [HEADER], []
    for number in range(max(1, segments // 25)):
        name = f"{rng.choice(('en', 'sw'))}_{4000 + number}"
        for channel in "AB":
            clock = 0.0
            for _ in range(12):
                clock = round(clock + rng.choice((0.0, 0.5, 1.37)), 2)
                end = round(clock + rng.uniform(0.3, 6), 2)
                text = random_reference(rng, vocabulary)
                if rng.random() < 0.05:
                    text = "IGNORE_TIME_SEGMENT_IN_SCORING"
                labels = f"<O,{name[:2]},{rng.choice('FM')}>"
                case = str.upper if rng.random() < 0.5 else str
                stm.append(
                    f"{name} {channel} {name}_{channel} {clock:.2f} {end:.2f} "
                    f"{labels} {case(text)}\n"
                )
                words = spoken(rng, text, vocabulary)
                if "IGNORE" in text:
                    words = rng.choices(WORDS, k=3)
                for index, word in enumerate(words):
                    each = 0.9 * (end - clock) / len(words)
                    late = rng.choice((0, 0, 0, 0, 0.7))
                    ctm.append(
                        f"{name} {channel} {clock + index * each + late:.2f} "
                        f"{each:.2f} {word} 0.99\n"
                    )
                clock = end
    (folder / "ref.stm").write_text("".join(stm))
    (folder / "hyp.ctm").write_text("".join(ctm))
