import re
from html.parser import HTMLParser

import soundfile

from espnet_ext.analysis.report import find_clip, worst_utterances, write_report
from espnet_ext.analysis.score import score_set

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks nesting and collects tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def report_of(root, **more):
    exp = root / "exp/asr_x"
    scores = [
        score_set(root / "data" / name, exp / "decode" / name, scorer="builtin")
        for name in ("hub", "plain")
    ]
    rows = [row for score in scores for row in score.rows()]
    facts = {"exp": "asr_x", "decode": "decode", "command": "run.sh --a '<b>'"}
    page = write_report(exp, scores, rows, facts=facts, versions={"date": "d"}, **more)
    return scores, page, Page(page.read_text())


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(experiment):
    _, path, page = report_of(experiment, note="synthetic <speech>")
    assert not page.all("script") and not page.all("link")
    links = [a["src"] for tag, a in page.tags if "src" in a]
    assert all(s.startswith(("data:image/png;base64,", "report/audio/")) for s in links)
    without_picture = re.sub(r"base64,[^\"]*", "", path.read_text())
    assert not re.search(r"(https?:)?//[a-z]|url\(|@import", without_picture)
    assert page.all("html") == [{"lang": "en"}]
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert all(image["alt"] for image in page.all("img"))


def test_words_and_facts_are_shown_as_text_never_as_markup(experiment):
    _, path, page = report_of(experiment, note="synthetic <speech>")
    for text in ("<b>now</b>", "& <x>", "synthetic <speech>", "run.sh --a '<b>'"):
        assert text in page.text
    assert not page.all("b") or all("class" in b for b in page.all("b"))
    assert "<b>now" not in path.read_text()


def test_errors_carry_letters_besides_colours(experiment):
    scores, _, page = report_of(experiment)
    shown = [
        a["class"].split()[1]
        for a in page.all("span")
        if a.get("class", "").startswith("pair ")
    ]
    expected = [
        pair.op
        for _, segment in worst_utterances(scores, 10)
        for pair in segment.alignment.pairs
    ]
    assert shown == expected
    assert {"S", "D", "I"} & set(expected)
    letters = re.findall(
        r'<span class="op">([SDI])</span>',
        (experiment / "exp/asr_x/index.html").read_text(),
    )
    assert letters == [op for op in expected if op != "C"]


def test_the_audio_is_the_segment_of_its_side(experiment):
    scores, path, page = report_of(experiment)
    players = [a["src"] for a in page.all("audio")]
    assert len(players) == len(set(players)) == 4
    (side_b,) = [p for p in players if "en_1-b" in p]
    samples, rate = soundfile.read(path.parent / side_b)
    whole, _ = soundfile.read(experiment / "en_1.wav")
    assert rate == 8000
    assert abs(samples - whole[8000:24000, 1]).max() < 1e-3


def test_audio_that_is_gone_leaves_a_note_instead_of_a_failure(experiment):
    _, _, page = report_of(experiment)
    assert "No audio" in page.text


def test_players_of_an_earlier_report_do_not_pile_up(experiment):
    old = experiment / "exp/asr_x/report/audio/old.wav"
    old.parent.mkdir(parents=True)
    old.touch()
    report_of(experiment)
    assert not old.exists()


def test_an_experiment_without_a_log_has_a_page_all_the_same(experiment):
    (experiment / "exp/asr_x/train.log").unlink()
    _, _, page = report_of(experiment)
    assert "No training log" in page.text and not page.all("img")


def test_the_worst_come_first(experiment):
    scores, _, _ = report_of(experiment)
    errors = [s.alignment.errors for _, s in worst_utterances(scores, 3)]
    assert errors == sorted(errors, reverse=True) and len(errors) == 3


def test_a_segment_is_found_by_id_or_by_file_and_time(experiment):
    scores, _, _ = report_of(experiment)
    by_time = {find_clip(experiment / "data/hub", s) for s in scores[0].hub5.segments}
    by_id = {find_clip(experiment / "data/hub", s) for s in scores[0].wer.segments}
    assert by_time == by_id and len(by_id) == 4
