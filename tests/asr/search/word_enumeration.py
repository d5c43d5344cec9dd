"""All word sequences of a lexicon with their exact scores: the oracle for searches."""

import itertools
import math

import torch

from espnet_ext.asr.decoder.stateless_transducer import StatelessTransducerDecoder
from espnet_ext.asr.search.prefix_tree import PrefixTree
from espnet_ext.asr.search.word_lm import NgramWordLm, NoWordLm
from espnet_ext.lm.kneser_ney import estimate, vocabulary
from tests.asr.loss.paths import enumerate_all
from tests.asr.search.test_time_sync import log_probs_of
from tests.asr.tiny import tiny_decoder

VOCABULARY = 5  # blank, three phonemes, sentence end
# homophones; the beginning of another word; two pronunciations; a label twice
PRONUNCIATIONS = {
    "eye": [(1,)],
    "i": [(1,)],
    "ice": [(1, 2)],
    "see": [(2,), (2, 3)],
    "eerie": [(3, 1, 3)],
    "aha": [(3, 3)],
}
WORDS = list(PRONUNCIATIONS)
SENTENCES = ["i see ice", "i see", "eye ice see i", "eerie eerie ice", "aha", "see aha"]


def tree():
    pairs = [(n, p) for n, w in enumerate(WORDS) for p in PRONUNCIATIONS[w]]
    return PrefixTree(WORDS, pairs)


def bigram(order=2):
    words = vocabulary(WORDS)
    index = {word: number for number, word in enumerate(words)}
    ids = [[index[word] for word in sentence.split()] for sentence in SENTENCES]
    return estimate(ids, words, order)[0]


def word_lm(name):
    return NgramWordLm(bigram(), WORDS) if name == "bigram" else NoWordLm(len(WORDS))


def transducer(seed, frames, stateless=False):
    """A decoder and its projected frames [T, R]."""
    decoder = tiny_decoder(VOCABULARY, seed=seed)
    if stateless:
        torch.manual_seed(seed)
        joint = {"readout_size": 10, "attention": {"key_size": 3}}
        decoder = StatelessTransducerDecoder(
            VOCABULARY, 6, context_size=1, embedding_size=3, hidden_size=4, joint=joint
        ).eval()
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.mul_(4.0)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, frames, 6, generator=generator)
    return decoder, decoder.joint_network.project_frames(x)[0].detach()


def ctc_outputs(seed, frames, batch=1):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(batch, frames, VOCABULARY, generator=generator) * 2
    return scores.log_softmax(2)


def transducer_table(decoder, am_TR):
    """Label sequence -> its log-probabilities [T, S, V]."""
    return lambda labels: log_probs_of(decoder, am_TR, labels)


def ctc_table(log_probs_TV):
    return lambda labels: log_probs_TV.unsqueeze(1).expand(-1, len(labels) + 1, -1)


def word_sequences(longest):
    """All word sequences whose shortest pronunciation has so many labels at most."""
    shortest = {w: min(map(len, p)) for w, p in PRONUNCIATIONS.items()}
    level = [()]
    while level:
        yield from level
        level = [
            (*words, word)
            for words in level
            for word in WORDS
            if sum(shortest[w] for w in (*words, word)) <= longest
        ]


def exact_scores(
    table, frames, rule, topology="rna", lm=None, weight=1.0, penalty=0.0, end=True
):
    """Score of each word sequence over all pronunciations and all alignments."""
    known = {}

    def acoustic(labels):
        if labels not in known:
            found = enumerate_all(table(list(labels)), topology, frames, labels, 0)
            known[labels] = -found.nll if rule == "sum" else found.best_score
        return known[labels]

    scores = {}
    for words in word_sequences(frames):
        variants = itertools.product(*(PRONUNCIATIONS[word] for word in words))
        parts = [acoustic(sum(v, ())) for v in variants if sum(map(len, v)) <= frames]
        parts = [part for part in parts if part > -math.inf]
        if not parts:
            continue
        top = max(parts)
        score = top
        if rule == "sum":
            score += math.log(math.fsum(math.exp(part - top) for part in parts))
        if lm is not None:
            steps = lm.score([lm.index[word] for word in words])
            score += weight * math.fsum(steps if end else steps[:-1])
        scores[words] = score + penalty * len(words)
    return scores
