import random

import pytest

from espnet_ext.analysis import sclite, wer
from espnet_ext.analysis.kaldi_text import CoverageError
from tests.analysis.nist import nist_programs

PLAIN = "a b c d e f g h éa Éa x; b* 9 ) th- -x a:b <unk> [noise] i'm I'M".split()
NOTED = PLAIN + ["@", "{ a / b c }", "{ a / @ / c }", "{ a / { b / c d } e }", "(b)"]


def random_pairs(seed, vocabulary, number=1000):
    """Texts and damaged copies of them; every third pair is unrelated."""
    rng = random.Random(seed)
    references, hypotheses = {}, {}
    for index in range(number):
        words = rng.choices(vocabulary, k=rng.randrange(14))
        heard = [
            rng.choice(vocabulary) if rng.random() < 0.2 else word
            for word in words
            if rng.random() < 0.8
        ]
        if index % 3 == 0:
            heard = rng.choices(vocabulary, k=rng.randrange(14))
        name = f"u-{index:05d}"
        references[name], hypotheses[name] = " ".join(words), " ".join(heard)
    speakers = {name: f"s{number % 17}" for number, name in enumerate(references)}
    return wer.Transcripts(references, hypotheses, speakers)


@pytest.mark.parametrize(
    "units, vocabulary",
    [
        (wer.words_of, PLAIN),
        (wer.words_of, NOTED),
        (wer.characters_of, [w for w in PLAIN if not set(w) & set(";*@")]),
    ],
)
def test_a_thousand_random_pairs_align_exactly_as_in_sclite(
    tmp_path, units, vocabulary
):
    nist_programs()
    transcripts = wer.tokenized(random_pairs(7, vocabulary), units)
    ref, hyp = tmp_path / "ref.trn", tmp_path / "hyp.trn"
    used = wer.write_trn(transcripts.references, transcripts.speakers, ref)
    wer.write_trn(transcripts.hypotheses, transcripts.speakers, hyp)
    ids = list(transcripts.references)
    nist = sclite.score_trn(ref, hyp, tmp_path, ids, used)
    own = wer.score_transcripts(transcripts)
    assert len(own.segments) == 1000
    assert own.total == nist.total
    assert list(own.segments) == list(nist.segments)
    assert own.by_speaker() == nist.by_speaker()


def random_network(rng):
    """A short text that is mostly alternatives and silence."""
    options = ["a", "b", "c", "@", "a b", "@ a", "b @ c"]
    parts = []
    for _ in range(rng.randrange(1, 9)):
        if rng.random() < 0.5:
            chosen = rng.choices(options, k=rng.randrange(1, 4))
            parts.append("{ " + " / ".join(chosen) + " }")
        else:
            parts.append(rng.choice("abc@"))
    return " ".join(parts)


def test_ties_of_silence_are_decided_by_single_precision_as_in_sclite(tmp_path):
    """For "{ @ / a } { a b } b" against "c c a" it is 3 errors, or 4 in doubles."""
    nist_programs()
    rng = random.Random(4)
    references = {f"u-{n:03d}": random_network(rng) for n in range(400)}
    hypotheses = {name: random_network(rng) for name in references}
    references["u-tie"], hypotheses["u-tie"] = "{ @ / a } { a b } b", "c c a"
    transcripts = wer.Transcripts(
        references, hypotheses, dict.fromkeys(references, "s")
    )
    ref, hyp = tmp_path / "ref.trn", tmp_path / "hyp.trn"
    used = wer.write_trn(references, transcripts.speakers, ref)
    wer.write_trn(hypotheses, transcripts.speakers, hyp)
    nist = sclite.score_trn(ref, hyp, tmp_path, list(references), used)
    own = wer.score_transcripts(transcripts)
    assert list(own.segments) == list(nist.segments)
    assert own.segments[-1].counts.errors == 3


def test_characters_and_spaces_are_counted(experiment):
    transcripts = wer.Transcripts({"u": "ab cd"}, {"u": "ab d"}, {})
    score = wer.score_transcripts(wer.tokenized(transcripts, wer.characters_of))
    assert (score.total.words, score.total.deletions) == (5, 1)


def test_case_is_ignored_for_ascii_letters():
    score = wer.score_transcripts(wer.Transcripts({"u": "Ab C"}, {"u": "aB c"}, {}))
    assert score.total.errors == 0


def test_missing_and_extra_hypotheses_are_errors(experiment):
    hyp = experiment / "exp/asr_x/decode/plain/text"
    hyp.write_text("u1 press\nu3 x\n")
    with pytest.raises(
        CoverageError, match="1 missing: u2; 1 not in the reference: u3"
    ):
        wer.read_transcripts(experiment / "data/plain", hyp)


def test_a_segment_without_reference_text_may_be_decoded(experiment):
    data = experiment / "data/hub"
    text = (data / "text").read_text().splitlines(keepends=True)
    (data / "text").write_text("".join(text[:-1]))
    hyp = experiment / "exp/asr_x/decode/hub/text"
    assert len(wer.read_transcripts(data, hyp).hypotheses) == len(text) - 1
