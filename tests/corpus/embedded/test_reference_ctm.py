"""The reference of alignments: every word once, in its own span."""

from espnet_ext.corpus.embedded.timeline import shared_span


def test_words_of_a_token_share_its_span_by_their_lengths():
    assert shared_span((), (5, 9)) == []
    assert shared_span(("yes",), (5, 9)) == [("yes", 5, 9)]
    assert shared_span(("a", "bcd"), (100, 200)) == [("a", 100, 125), ("bcd", 125, 200)]
