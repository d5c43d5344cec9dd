"""The pages about switches are complete and are what the catalogue makes of them."""

import re

from espnet_ext.experiments.catalogue import load_catalogue
from espnet_ext.experiments.files import REPOSITORY, find_conf
from espnet_ext.experiments.pages import FOLDER, pages, stale
from tests.shared import shared_file

CONF = find_conf(REPOSITORY / "conf")


def test_the_committed_pages_are_up_to_date():
    old = stale(REPOSITORY / FOLDER, pages(CONF))
    assert old == [], "run: python -m espnet_ext.experiments.pages"


def readme_entries():
    """Tokens in the list "Experiments parts" of the original's README."""
    (file,) = shared_file("seed").glob("*.txt")
    text = file.read_text(encoding="utf-8").split("Experiments parts:")[1]
    text = text.split("Current good Conformer baselines")[0]
    return re.findall(r"^- ([\w.]+):", text, re.MULTILINE)


def test_every_switch_of_the_originals_readme_is_listed_with_a_status():
    page = pages(CONF)["original-readme.md"]
    listed = dict(re.findall(r"^\| `([^`]+)` \| .* \| ([^|]+) \|$", page, re.MULTILINE))
    entries = readme_entries()
    assert len(entries) == 70
    for entry in entries:
        assert entry in listed, entry
        assert re.match(r"implemented$|not yet: ", listed[entry])


def test_no_row_claims_to_be_in_the_readme_that_is_not():
    entries = set(readme_entries())
    for switch in load_catalogue().switches.values():
        assert not switch.in_readme or switch.shown in entries, switch.id


def test_both_readings_are_on_the_page_where_readme_and_files_disagree():
    made = pages(CONF)
    disputed = [s for s in load_catalogue().switches.values() if s.readme]
    assert {"num_heads", "no_encoder_l2", "attention_dropout", "attention_window"} <= {
        s.id for s in disputed
    }
    for switch in disputed:
        assert switch.files, switch.id
        assert switch.readme in made[f"{switch.group}.md"]
        assert switch.files in made[f"{switch.group}.md"]


def test_every_switch_has_a_section():
    made = pages(CONF)
    for switch in load_catalogue().switches.values():
        assert f"- switch: `{switch.id}`" in made[f"{switch.group}.md"]
