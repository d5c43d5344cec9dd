"""docs/add-a-plugin.md is executed: its class, its line, its tests, its YAML."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import yaml
from espnet2.tasks import asr

from espnet_ext import register

REPOSITORY = Path(__file__).parents[1]
MODULE = "espnet_ext.asr.encoder.stacked_gru"
TEXT = (REPOSITORY / "docs" / "add-a-plugin.md").read_text(encoding="utf-8")


def _block(heading: str, language: str = "") -> str:
    """The first code block after a heading."""
    section = TEXT.split(heading, 1)[1]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


def _import(name: str, path: Path, source: str):
    path.write_text(source, encoding="utf-8")
    specification = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The encoder of the page, under its own name and in ESPnet's table."""
    module = _import(MODULE, tmp_path / "stacked_gru.py", _block("## 1.", "python"))
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setitem(
        asr.encoder_choices.classes, "stacked_gru", module.StackedGruEncoder
    )
    return module


def test_the_tests_of_the_page_pass(plugin, tmp_path):
    page = _import("page_tests", tmp_path / "page_tests.py", _block("## 3.", "python"))
    tests = [name for name in vars(page) if name.startswith("test_")]
    assert len(tests) == 2
    for name in tests:
        getattr(page, name)()


def test_its_yaml_is_read_by_the_encoder_of_the_page(plugin):
    options = yaml.safe_load(_block("## 4.", "yaml"))
    encoder_class = asr.encoder_choices.get_class(options["encoder"])
    encoder = encoder_class(input_size=40, **options["encoder_conf"])
    assert encoder.output_size() == 2 * options["encoder_conf"]["hidden_size"]
    assert encoder.gru.num_layers == options["encoder_conf"]["num_layers"]


def test_its_line_has_the_form_of_the_lines_in_the_table():
    line = _block("## 2.").strip()
    shape = re.compile(r"\(asr\.\w+_choices, \"\w+\", \w+\),")
    source = Path(register.__file__).read_text(encoding="utf-8")
    assert shape.fullmatch(line)
    assert len(shape.findall(source)) >= 3
