"""The sounding text of the prompts, against a reading made independently of ours."""

import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_ext.corpus.prompts.sounding_text import read_out, sounding_text
from tests.shared import shared_file

MANIFEST = "data/asterisk-en/manifest.tsv"

# prompt -> (what the manifest has, what we have, why), where the two differ
DELIBERATE = {
    "confbridge-binaural-off": ("3d", "three d", "a figure is read out"),
    "confbridge-binaural-on": ("3d", "three d", "a figure is read out"),
    "demo-congrats": ("pbx", "p b x", "a spelled acronym is letters"),
    "demo-moreinfo": ("pbx and ivr", "p b x and i v r", "a spelled acronym is letters"),
    "demo-thanks": ("pbx", "p b x", "a spelled acronym is letters"),
    "spy-mgcp": ("mgcp", "m g c p", "a spelled acronym is letters"),
    "spy-usbradio": ("usb", "u s b", "a spelled acronym is letters"),
    "spy-h323": ("323", "three two three", "figures are read out"),
    "demo-enterkeywords": ("separated by and", "separated by star and", "key names"),
    "dictate/both_help": (
        "press to toggle pause press to enter",
        "press star to toggle pause press pound to enter",
        "key names",
    ),
    "dictate/enter_filename": (
        "followed by or just to exit",
        "followed by pound or just pound to exit",
        "key names",
    ),
}
# differences of the two prompts that have several
ALSO = {
    "demo-moreinfo": [
        ("www asterisk org", "w w w dot asterisk dot org"),
    ],
    "demo-instruct": [
        ("voice over ip", "voice over i p"),
        ("dial 500", "dial five hundred"),
        ("28 eight kilobit", "twenty eight point eight kilobit"),
        ("dial 600", "dial six hundred"),
        ("1234", "one two three four"),
        ("4242", "four two four two"),
        ("8500", "eight five zero zero"),
        ("from the pbx", "from the p b x"),
    ],
}


def manifest():
    with open(shared_file(MANIFEST), encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_all_texts_are_those_of_the_manifest_but_for_the_table():
    rows = manifest()
    assert len(rows) > 560
    for row in rows:
        expected = row["normalised_guess"]
        changes = [DELIBERATE[row["key"]][:2]] if row["key"] in DELIBERATE else []
        for theirs, ours in changes + ALSO.get(row["key"], []):
            assert theirs in expected, (row["key"], theirs)
            expected = expected.replace(theirs, ours)
        assert sounding_text(row["raw"]) == expected, row["key"]


def test_prompts_without_speech_have_no_text():
    for row in manifest():
        silent = row["class"] == "nonspeech"
        assert (sounding_text(row["raw"]) == "") == silent, row["key"]


@pytest.mark.parametrize(
    "raw, said",
    [
        ("Press 1, then #.", "press one then pound"),
        ("...to lock, or unlock", "to lock or unlock"),
        ('IAX (note: does not say "2")', "iax"),
        ("at [@]", "at"),
        ("<beep ascending>", ""),
        ("A.M.", "a m"),
        ("H.323", "h three two three"),
        ("3D audio", "three d audio"),
        ("28.8 kilobit", "twenty eight point eight kilobit"),
        ('a polite "don\'t call" menu', "a polite don't call menu"),
        ("the user's mail box can't", "the user's mail box can't"),
        ("Un-indentified", "un indentified"),  # a typing error of the script: kept
        ("visit www.asterisk.org.", "visit w w w dot asterisk dot org"),
        ("the PBX.", "the p b x"),
    ],
)
def test_sounding_text(raw, said):
    assert sounding_text(raw) == said


@pytest.mark.parametrize(
    "number, said",
    [
        ("0", "zero"),
        ("13", "thirteen"),
        ("20", "twenty"),
        ("42", "forty two"),
        ("500", "five hundred"),
        ("501", "five zero one"),
        ("1234", "one two three four"),
        ("007", "zero zero seven"),
        ("28.85", "twenty eight point eight five"),
    ],
)
def test_numbers_are_read_out(number, said):
    assert read_out(number) == said


@given(st.text(max_size=30))
def test_a_text_has_letters_apostrophes_and_single_blanks_only(raw):
    text = sounding_text(raw)
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz' ")
    assert text == " ".join(text.split())
