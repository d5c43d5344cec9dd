"""Every label unit on its way from a text to word times, files, and a scorer."""

from pathlib import Path
from typing import Dict, List, NamedTuple

import pytest
import sentencepiece

from espnet_ext.alignment.store import read_set
from espnet_ext.analysis import hub5, sclite
from espnet_ext.bin.align import main
from espnet_ext.recipe.subword_nmt import cut_file, learn, load_cutter
from tests.alignment.cases import same
from tests.analysis.nist import nist_programs
from tests.bin.align_experiment import RATE_HZ, arguments, write_data, write_model

# apostrophes, digits, letters beyond ASCII, a word twice, and one unknown everywhere
SPOKEN = {
    "u1": "it's a naïve café",
    "u2": "we don't say 42 ß",
    "u3": "42 42 a",
}
TRAINING = ["it's a naïve café", "we don't say 42", "a café we say", "it's 42"]
LENGTHS = {"u1": 9001, "u2": 8000, "u3": 6543}
UNKNOWN = {key: text.replace("ß", "<unk>") for key, text in SPOKEN.items()}
PHONES = {
    "it's": "IH T S#",
    "a": "AH#",
    "naïve": "N AY IY V#",
    "café": "K AE F EY#",
    "we": "W IY#",
    "don't": "D OW N T#",
    "say": "S EY#",
    "42": "F AO T IY T UW#",
    "ß": "<unk>#",
}
GLM = ";; nothing is mapped\nUH => %HESITATION / [ ] __ [ ]\n"
FILES = {
    "kaldi": "alignment.scp",
    "ctm": "labels.ctm",
    "textgrid": "textgrid",
    "hdf5": "alignment.hdf5",
}


class Unit(NamedTuple):
    """What an experiment with some unit has."""

    units: str
    tokens: List[str]
    config: Dict
    texts: Dict[str, str]
    words: Dict[str, str]


def listed(tokens) -> List[str]:
    return ["<blank>", "<unk>", *tokens, "<sos/eos>"]


def characters(root: Path) -> Unit:
    tokens = listed(["<space>", *sorted(set("".join(TRAINING)) - {" "})])
    return Unit("characters", tokens, {"token_type": "char"}, SPOKEN, UNKNOWN)


def words(root: Path) -> Unit:
    tokens = listed(sorted(set(" ".join(TRAINING).split())))
    return Unit("words", tokens, {"token_type": "word"}, SPOKEN, UNKNOWN)


def sentencepieces(root: Path) -> Unit:
    text = root / "spm.txt"
    text.write_text("\n".join(TRAINING * 5) + "\n", encoding="utf-8")
    options = {"vocab_size": 40, "model_type": "bpe", "character_coverage": 1.0}
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(root / "bpe"), minloglevel=2, **options
    )
    model = str(root / "bpe.model")
    pieces = sentencepiece.SentencePieceProcessor(model_file=model)
    tokens = [pieces.id_to_piece(n) for n in range(pieces.get_piece_size())]
    tokens = listed(t for t in tokens if t not in ("<unk>", "<s>", "</s>"))
    config = {"token_type": "bpe", "bpemodel": model}
    return Unit("pieces", tokens, config, SPOKEN, UNKNOWN)


def subwords(root: Path) -> Unit:
    """As the recipe does it: text cut by subword-nmt, which ESPnet takes for words."""
    codes = root / "bpe.codes"
    pieces = learn(TRAINING, 12, codes)
    source, cut = root / "spoken", root / "cut"
    source.write_text("".join(f"{k} {v}\n" for k, v in SPOKEN.items()), "utf-8")
    cut_file(source, cut, load_cutter(codes), pieces, must_be_known=False)
    lines = cut.read_text(encoding="utf-8").splitlines()
    texts = dict(line.split(" ", 1) for line in lines)
    assert "@@" in texts["u1"]
    return Unit("joined", listed(pieces), {"token_type": "word"}, texts, UNKNOWN)


def phonemes(root: Path) -> Unit:
    texts = {
        key: " ".join(PHONES[word] for word in text.split())
        for key, text in SPOKEN.items()
    }
    tokens = listed(sorted(set(" ".join(PHONES.values()).split())))
    shown = {
        key: " ".join(PHONES[word].replace(" ", "_") for word in text.split())
        for key, text in SPOKEN.items()
    }
    return Unit("phonemes", tokens, {"token_type": "phn"}, texts, shown)


def phonemes_as_words(root: Path) -> Unit:
    return phonemes(root)._replace(config={"token_type": "word"})


KINDS = [characters, words, sentencepieces, subwords, phonemes, phonemes_as_words]


@pytest.fixture(scope="module", params=KINDS)
def aligned(request, tmp_path_factory):
    """The unit, and the folder of its alignments."""
    root = tmp_path_factory.mktemp(request.param.__name__)
    unit = request.param(root)
    write_model(root, unit.tokens, **unit.config)
    write_data(root, unit.texts, LENGTHS)
    spoken = "".join(f"{key} {text}\n" for key, text in SPOKEN.items())
    (root / "spoken").write_text(spoken, encoding="utf-8")
    folder = root / "align"
    command = arguments(root, "run", "--output_dir", folder, "--formats", "ctm")
    assert main(command) == 0
    return unit, folder


def ctm_lines(path: Path) -> Dict[str, List]:
    """(start, end, text) of each utterance."""
    rows: Dict[str, List] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith(";;"):
            key, channel, start, duration, text = line.split(" ")
            assert channel == "1" and float(duration) > 0
            begin = float(start)
            rows.setdefault(key, []).append((begin, begin + float(duration), text))
    return rows


@pytest.mark.slow
def test_words_and_labels_come_in_order_and_inside_the_utterance(aligned):
    unit, folder = aligned
    made = read_set(folder)
    assert made.info.units == unit.units and not made.failed
    rows = ctm_lines(folder / "words.ctm")
    labels = ctm_lines(folder / "labels.ctm")
    for key, text in unit.words.items():
        assert [word for _, _, word in rows[key]] == text.split()
        spelled = [made.info.tokens[n] for n in made.aligned[key].labels.tolist()]
        assert [label for _, _, label in labels[key]] == spelled
        last_s = LENGTHS[key] / RATE_HZ + made.info.frame_shift_s
        for row in (rows[key], labels[key]):
            edges = [edge for start, end, _ in row for edge in (start, end)]
            assert edges[0] >= 0.0 and edges[-1] <= last_s
            assert all(b - a > -2e-6 for a, b in zip(edges, edges[1:]))
        starts = {round(start, 6) for start, _, _ in labels[key]}
        ends = {round(end, 6) for _, end, _ in labels[key]}
        for start, end, _ in rows[key]:
            assert round(start, 6) in starts and round(end, 6) in ends


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILES)
def test_what_is_exported_is_read_back_the_same(aligned, kind, tmp_path):
    _, folder = aligned
    out, back = tmp_path / "out", tmp_path / "back"
    command = ["export", str(folder), "--formats", kind, "--output_dir", str(out)]
    assert main(command) == 0
    command = ["import", str(out / FILES[kind]), "--like", str(folder)]
    assert main([*command, "--output_dir", str(back)]) == 0
    assert same(read_set(back), read_set(folder), scores=False)


def scored_files(aligned, tmp_path):
    """STM, CTM and GLM, and the number of words: each has a segment of its own."""
    _, folder = aligned
    command = ["export", str(folder), "--text", str(folder.parent / "spoken")]
    command += ["--formats", "ctm", "--output_dir", str(tmp_path)]
    assert main(command) == 0
    rows = ctm_lines(tmp_path / "words.ctm")
    stm = tmp_path / "ref.stm"
    stm.write_text(
        "".join(
            f"{key} 1 {key} {start:.6f} {end:.6f} {word}\n"
            for key, text in SPOKEN.items()
            for word, (start, end, _) in zip(text.split(), rows[key])
        ),
        encoding="utf-8",
    )
    glm = tmp_path / "glm"
    glm.write_text(GLM, encoding="utf-8")
    count = sum(len(text.split()) for text in SPOKEN.values())
    return (stm, tmp_path / "words.ctm", glm), count


@pytest.mark.slow
def test_word_times_are_scored_without_an_error(aligned, tmp_path):
    files, count = scored_files(aligned, tmp_path)
    total = hub5.score_hub5(*files).total
    assert (total.errors, total.words) == (0, count)


@pytest.mark.slow
def test_nists_scorer_takes_the_word_times(aligned, tmp_path):
    nist_programs()
    files, count = scored_files(aligned, tmp_path)
    total = sclite.score_hub5(*files, tmp_path / "out").total
    assert (total.errors, total.words) == (0, count)
