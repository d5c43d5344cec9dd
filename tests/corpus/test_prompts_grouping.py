"""No phrase of four words is in two sets."""

import csv

from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.corpus.prompts.grouping import (
    LARGE_GROUP,
    SENTENCE_WORDS,
    group_by_phrase,
    split_groups,
)
from espnet_ext.corpus.prompts.sounding_text import sounding_text
from tests.shared import shared_file

TEXTS = st.dictionaries(
    st.integers(0, 99).map(str),
    st.lists(st.sampled_from("abcde"), min_size=1, max_size=8).map(" ".join),
    min_size=1,
    max_size=12,
)


def runs(text, length=4):
    words = text.split()
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}


def related(first, second):
    """Whether two texts must be together, by the definition."""
    return first == second or bool(runs(first) & runs(second))


@given(TEXTS)
def test_groups_are_the_closure_of_sharing_a_phrase(texts):
    """Compared with a search through all pairs."""
    groups = group_by_phrase(texts)
    assert sorted(key for group in groups for key in group) == sorted(texts)
    for group in groups:
        reached, waiting = set(), {group[0]}
        while waiting:
            key = waiting.pop()
            reached.add(key)
            waiting |= {k for k in texts if related(texts[key], texts[k])} - reached
        assert reached == set(group)


def real_prompts():
    with open(shared_file("data/asterisk-en/manifest.tsv"), encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        rows = [row for row in rows if row["class"] not in ("nonspeech", "missing")]
    texts = {row["key"]: sounding_text(row["raw"]) for row in rows}
    return texts, {row["key"]: int(row["samples"]) / 8000 for row in rows}


def test_no_phrase_of_the_real_prompts_is_in_two_sets():
    texts, durations = real_prompts()
    sets = split_groups(group_by_phrase(texts), texts, durations)
    assert sorted(key for keys in sets.values() for key in keys) == sorted(texts)
    for left, right in (("train", "dev"), ("train", "test"), ("dev", "test")):
        for key in sets[left]:
            assert not [k for k in sets[right] if related(texts[key], texts[k])]


def test_the_real_sets_have_useful_sizes_and_only_sentences_are_held_out():
    texts, durations = real_prompts()
    groups = group_by_phrase(texts)
    sets = split_groups(groups, texts, durations)
    minutes = {
        name: sum(durations[k] for k in keys) / 60 for name, keys in sets.items()
    }
    assert minutes["train"] > 15 and minutes["dev"] > 1 and minutes["test"] > 2.5
    total = sum(durations.values())
    for group in groups:
        if set(group) & set(sets["dev"] + sets["test"]):
            assert max(len(texts[key].split()) for key in group) >= SENTENCE_WORDS
            assert sum(durations[key] for key in group) <= LARGE_GROUP * total


def test_the_split_does_not_depend_on_the_order_of_the_prompts():
    texts, durations = real_prompts()
    backwards = dict(reversed(list(texts.items())))
    first = split_groups(group_by_phrase(texts), texts, durations)
    assert split_groups(group_by_phrase(backwards), backwards, durations) == first


def test_one_more_prompt_moves_few_others():
    """Groups are dealt by their own text, not by their place in a list."""
    texts, durations = real_prompts()
    before = split_groups(group_by_phrase(texts), texts, durations)
    texts["a-new-one"], durations["a-new-one"] = "the owls are not what they seem", 2.0
    after = split_groups(group_by_phrase(texts), texts, durations)
    set_of = {key: name for name, keys in before.items() for key in keys}
    moved = [k for name in after for k in after[name] if set_of.get(k, name) != name]
    assert len(moved) <= 20
