"""Raw error rates of words, characters and tokens from Kaldi-style text files.

Equal to ``sclite -i rm`` on trn files, which is what ESPnet's stage 13 runs. sclite's
notation holds on both sides: ``{ a / b }`` are alternatives, ``@`` is silence, what
follows a ``;`` in a word is a tag, a trailing ``*`` is dropped; case is ignored.
"""

from pathlib import Path
from typing import Callable, Dict, List, NamedTuple, Sequence, Union

from espnet_ext.analysis.align import align
from espnet_ext.analysis.kaldi_text import read_hypotheses, read_table
from espnet_ext.analysis.network import lower_ascii, parse_transcript
from espnet_ext.analysis.scores import Score, ScoredSegment
from espnet_ext.files import atomic_write

PathLike = Union[str, Path]
Tokenizer = Callable[[str], Sequence[str]]
SPACE = "<space>"


class Transcripts(NamedTuple):
    """References and hypotheses of the same utterances, and their speakers."""

    references: Dict[str, str]
    hypotheses: Dict[str, str]
    speakers: Dict[str, str]


def read_transcripts(data_dir: PathLike, hypotheses: PathLike) -> Transcripts:
    """Read DATA/text, DATA/utt2spk (if present) and a file of hypotheses.

    Raises:
        CoverageError: Hypotheses are missing or superfluous.
    """
    data_dir = Path(data_dir)
    references = read_table(data_dir / "text")
    speakers_path = data_dir / "utt2spk"
    speakers = read_table(speakers_path) if speakers_path.exists() else {}
    segments_path = data_dir / "segments"
    # a segment without a reference text is decoded, and scored only through an STM
    others = read_table(segments_path) if segments_path.exists() else {}
    texts = read_hypotheses(hypotheses, references, others)
    return Transcripts(references, texts, speakers)


def words_of(text: str) -> List[str]:
    """The words of a text."""
    return text.split()


def characters_of(text: str) -> List[str]:
    """The characters of a text; a space between words is the token <space>."""
    return [SPACE if character == " " else character for character in text]


def tokenized(transcripts: Transcripts, tokenize: Tokenizer) -> Transcripts:
    """The same transcripts as tokens separated by spaces."""

    def convert(texts: Dict[str, str]) -> Dict[str, str]:
        return {key: " ".join(tokenize(text)) for key, text in texts.items()}

    return transcripts._replace(
        references=convert(transcripts.references),
        hypotheses=convert(transcripts.hypotheses),
    )


def score_transcripts(transcripts: Transcripts) -> Score:
    """Align every utterance.

    Raises:
        FormatError: Braces of a transcript do not pair up.
    """
    from espnet_ext import __version__

    segments = []
    for utterance, reference in transcripts.references.items():
        hypothesis = transcripts.hypotheses[utterance]
        alignment = align(
            parse_transcript(lower_ascii(reference)),
            parse_transcript(lower_ascii(hypothesis)),
        )
        speaker = transcripts.speakers.get(utterance, utterance)
        segments.append(ScoredSegment(utterance, speaker, alignment))
    return Score(segments, "builtin", f"espnet_ext {__version__}")


def write_trn(
    texts: Dict[str, str], speakers: Dict[str, str], path: PathLike
) -> List[str]:
    """Write lines ``words (speaker-utterance)`` as ESPnet does.

    Returns:
        The speaker of each line.
    """
    used = [speakers.get(utterance, utterance) for utterance in texts]
    with atomic_write(path) as file:
        for speaker, (utterance, text) in zip(used, texts.items()):
            file.write(f"{text} ({speaker}-{utterance})\n")
    return used
