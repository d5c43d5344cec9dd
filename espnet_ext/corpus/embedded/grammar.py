"""Sentence templates: small talk on the telephone with about two hundred words.

``<slot>`` stands for one entry of SLOTS. A draw prefers the entries and templates used
least so far, so that rare words do not depend on luck.
"""

import random
import re
from typing import Dict, Iterable, List, Tuple

from espnet_ext.corpus.embedded.tokens import COMMON_PARTIALS, Token, token, tokens

SLOT = re.compile(r"<(\w+)>")

SLOTS: Dict[str, Tuple[str, ...]] = {
    name: tuple(entries.split())
    for name, entries in {
        "relative": "brother sister mother father wife husband",
        "place": "Texas Boston Ohio Denver Florida",
        "day": "Monday Friday Christmas April June",
        "name": "Susan Robert",
        "season": "summer winter",
        "time": "today tonight tomorrow",
        "pet": "dog cat",
        "plural": "dogs cats kids cars movies",
        "thing": "car house garden computer phone book movie",
        "toy": "TV PC CD VCR",
        "toys": "TVs VCRs",
        "firm": "IBM CNN GE",
        "fall": "rain snow",
        "period": "summer winter week",
        "adj": "good nice great bad cheap expensive funny old new big small "
        "well-known alright",
        "temp": "hot cold",
        "food": "fish coffee dinner pizza",
        "activity": "cooking fishing reading camping",
        "very": "very really so pretty",
        "think": "think guess know",
        "small": "two three four five six seven eight nine ten",
        "tens": "twenty thirty forty fifty",
        "digit": "zero one two three four five six seven eight nine oh",
        "ack": "yeah uh-huh um-hum right okay oh sure exactly wow no yes well really "
        "mhm",
        "often": "always never sometimes",
    }.items()
}
SLOTS["much"] = ("a lot of", "too much")  # the only entries of several words

BACKCHANNELS: Tuple[str, ...] = (
    "<ack>",
    "<ack>",
    "<ack> <ack>",
    "<ack> <ack>",
    "<ack> <ack> <ack>",
    "oh that's <adj>",
    "<ack> that's <very> <adj>",
    "<ack> i <think> so",
    "<ack> i see",
)

SENTENCES: Tuple[str, ...] = (
    "i live in <place>",
    "we used to live in <place> but now we live in <place>",
    "my <relative> lives in <place>",
    "my <relative> works for <firm>",
    "my <relative> used to work for <firm> in <place>",
    "i work for a <adj> company in <place>",
    "my <relative> has a <adj> <adj> <thing>",
    "we bought a <adj> <thing> in <day>",
    "i bought a <adj> <toy> for my <relative>",
    "the <thing> cost <small> hundred dollars",
    "the <toy> cost <tens> <small> dollars",
    "that <thing> was <very> <adj>",
    "i <think> the <thing> is <very> <adj>",
    "i don't <think> it's <very> <adj>",
    "it's <very> <temp> in <place>",
    "it's <very> <temp> here in the <season>",
    "we had <much> <fall> last <period>",
    "i don't like the <fall> in the <season>",
    "it's <tens> <small> in <place> <time>",
    "my <relative> is <tens> <small> and i'm <tens> <small>",
    "is it <temp> in <place> <time>?",
    "how is the weather in <place>?",
    "what do you do for work?",
    "what kind of <thing> do you have?",
    "do you have a <pet>?",
    "do you have <plural>?",
    "do you like <activity>?",
    "do you <often> watch the news on <firm>?",
    "we watch <much> <toy> on <day>",
    "i saw it on the <toy> on <day>",
    "<name> has <small> <plural> and a <adj> <pet>",
    "<name> and my <relative> like <activity>",
    "my <relative> likes <food> and <food>",
    "i <often> have <food> with my <relative>",
    "we <often> go <activity> in the <season>",
    "i go <activity> with <name> on <day>",
    "<activity> is <very> <adj> in the <season>",
    "i like <activity> but my <relative> doesn't",
    "we don't have <plural> but we have <small> <plural>",
    "they have <small> <toys> and a <adj> <toy>",
    "my number is <digit> <digit> <digit> <digit>",
    "the number is <digit> <digit> <digit> <digit> <digit> <digit> <digit>",
    "call me at <digit> <digit> <digit> <digit> <time>",
    "i'll call <name> about the <thing> <time>",
    "did you see the <adj> movie on <toy> <time>?",
    "i read a <adj> book about <activity>",
    "i don't know if <name> likes <food>",
    "you know it's <adj> because it's <adj>",
    "he's <very> <adj> to my <relative>",
    "he was at work with <name> last <period>",
    "i'm gonna call <name> <time>",
    "we're gonna go <activity> in <day>",
    "my <relative> lives in the U S now",
    "the U S is <very> big",
    "she was here with her <pet> last <period>",
    "well i'm <very> sorry about your <thing>",
    "are you in <place> or in <place>?",
    "what do you <think> about that?",
    "they are <often> <adj> in <place>",
    "we're going to <place> in <day>",
    "my <pet> is <small> and your <pet> is <small>",
    "so the <toy> and the <thing> are <adj>",
    "i can't do that <time>",
    "that's what <name> said about the <adj> <thing>",
)
JOINERS = ("and", "but", "so", "because")


class Grammar:
    """Draws sentences; the same random source gives the same sentences.

    Args:
        source: Random source of its own.
    """

    def __init__(self, source: random.Random):
        self.source = source
        self._uses: Dict[Tuple[str, str], int] = {}

    def backchannel(self) -> str:
        """A short answer, one to five words."""
        return self._fill(self._least_used("backchannel", BACKCHANNELS))

    def sentence(self, joined: bool = False) -> str:
        """A statement or a question (ends with ``?``); two of them if ``joined``."""
        first = self._fill(self._least_used("sentence", SENTENCES))
        if not joined:
            return first
        statements = [text for text in SENTENCES if not text.endswith("?")]
        second = self._fill(self._least_used("sentence", statements))
        return f"{first.rstrip('?')} {self.source.choice(JOINERS)} {second}"

    def _fill(self, template: str) -> str:
        taken: List[str] = []  # nobody asks "in Texas or in Texas"

        def entry(slot: re.Match) -> str:
            free = [e for e in SLOTS[slot.group(1)] if e not in taken]
            taken.append(self._least_used(slot.group(1), free))
            return taken[-1]

        return SLOT.sub(entry, template)

    def _least_used(self, slot: str, entries: Iterable[str]) -> str:
        """A random entry of the less used half."""
        ranked = sorted(
            entries, key=lambda entry: (self._uses.get((slot, entry), 0), entry)
        )
        chosen = self.source.choice(ranked[: (len(ranked) + 1) // 2])
        self._uses[slot, chosen] = self._uses.get((slot, chosen), 0) + 1
        return chosen


def disfluent(
    text: str, source: random.Random, scale: float = 1.0
) -> Tuple[Token, ...]:
    """Put hesitations, partial words, laughter and sounds into a plain sentence.

    ``scale`` multiplies all rates; 0 leaves the sentence as it is.

    Acronyms and names are never laughed, because the releases do not do so either.
    """
    result: List[Token] = []
    plain = text.rstrip("?").split()
    for position, word in enumerate(plain):
        if source.random() < scale * (0.08 if position == 0 else 0.02):
            result.append(token(source.choice(("uh", "um"))))
        if word in COMMON_PARTIALS and source.random() < 0.06 * scale:
            result.append(token(COMMON_PARTIALS[word]))
        if word.islower() and len(plain) > 1 and source.random() < 0.01 * scale:
            word = f"[laughter-{word}]"
        result.append(token(word))
    if source.random() < 0.04 * scale:
        result.append(token(source.choice(("[noise]", "[laughter]"))))
    elif source.random() < 0.02 * scale:
        result.insert(0, token("[vocalized-noise]"))
    return tuple(result)


def vocabulary() -> List[str]:
    """All words the templates can produce, sorted."""
    texts = [*BACKCHANNELS, *SENTENCES, *JOINERS]
    texts += [entry for entries in SLOTS.values() for entry in entries]
    plain = (SLOT.sub(" ", text).rstrip("?") for text in texts)
    return sorted({word for text in plain for t in tokens(text) for word in t.words})
