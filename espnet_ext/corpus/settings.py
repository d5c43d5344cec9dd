"""The choices of a data preparation; all of them are part of the stamps."""

from dataclasses import dataclass, replace
from typing import Optional, Tuple

from espnet_ext.corpus.ms98 import Profile, profile_named

RATE_HZ = 8000


@dataclass(frozen=True)
class Settings:
    """What a preparation makes of the releases.

    Attributes:
        profile: Text profile: ``plain``, ``rwth`` or ``kaldi`` (see ``ms98``).
        noise_tags: ``remove``, ``upper`` or ``lower``; None for the profile's.
        acronyms: ``letters``, ``dotted``, ``fisher`` or ``joined``; None likewise.
        split: A name of ``splits.SPLITS``, or ``auto``: the list if there is one, else
            ``disjoint``.
        valid_list: File with the selection conversations; None for the corpus's own.
        dev_utterances: Size of the selection set; None for the split's own.
        held_out_utterances: Of the split ``rwth``: utterances that are not trained on,
            the selection set among them; None for RWTH's share (9 %).
        max_same_text: Limit of equal texts in training; None for the split's own
            (300 for ``kaldi``, else none), 0 for no limit.
        extend_eval_s: Widen evaluation segments (Kaldi: 0.1).
        concat: Numbers of segments to join: one more copy of each evaluation set each.
        rate_hz: Sampling rate that all audio must have.
    """

    profile: str = "plain"
    noise_tags: Optional[str] = None
    acronyms: Optional[str] = None
    split: str = "auto"
    valid_list: Optional[str] = None
    dev_utterances: Optional[int] = None
    held_out_utterances: Optional[int] = None
    max_same_text: Optional[int] = None
    extend_eval_s: float = 0.0
    concat: Tuple[int, ...] = ()
    rate_hz: int = RATE_HZ

    def text_profile(self) -> Profile:
        """The profile with the single choices that override it."""
        chosen = {"noise_tags": self.noise_tags, "acronyms": self.acronyms}
        given = {key: value for key, value in chosen.items() if value is not None}
        return replace(profile_named(self.profile), **given)
