"""Growing stages against the tables of the reference."""

import pytest

from espnet_ext.asr.encoder.growth import GrowthOptions, stages_of

PRE10 = GrowthOptions([2, 4, 8], [10, 10, 10])


def sizes(growth, *shape):
    return [(s.layers, s.model, s.feed_forward) for s in stages_of(growth, *shape)]


@pytest.mark.parametrize(
    "growth, shape, expected",
    [
        (
            PRE10,
            (12, 384, 1536, 6, 32),
            [(2, 192, 768), (4, 228, 918), (8, 306, 1224), (12, 384, 1536)],
        ),
        (
            PRE10,
            (12, 512, 2048, 4, 32),
            [(2, 256, 1024), (4, 304, 1228), (8, 408, 1636), (12, 512, 2048)],
        ),
        (
            PRE10,
            (12, 512, 2048, 8, 32),
            [(2, 256, 1024), (4, 304, 1224), (8, 408, 1632), (12, 512, 2048)],
        ),
        (
            GrowthOptions([2, 4], [10, 10]),
            (8, 384, 1536, 6, 32),
            [(2, 192, 768), (4, 252, 1020), (8, 384, 1536)],
        ),
        (
            GrowthOptions([2, 4, 6, 8, 10], [10] * 5),
            (12, 384, 1536, 6, 32),
            list(
                zip(
                    [2, 4, 6, 8, 10, 12],
                    [192, 228, 264, 306, 342, 384],
                    [768, 918, 1074, 1224, 1380, 1536],
                )
            ),
        ),
    ],
    ids=["d384_h6", "d512_h4", "d512_h8", "n8", "nores"],
)
def test_dimensions_of_each_stage_are_those_of_the_original(growth, shape, expected):
    """reference/parts.md 2.2."""
    assert sizes(growth, *shape) == expected


def test_stages_begin_where_the_original_changes_its_network():
    first = [PRE10.stage_number(epoch) for epoch in (1, 10, 11, 20, 21, 30, 31, 150)]
    assert first == [0, 0, 1, 1, 2, 2, 3, 3]


def test_growth_of_layers_alone_keeps_the_width():
    growth = GrowthOptions([2, 4, 8], [12, 6, 6], width=False)
    stages = stages_of(growth, 12, 512, 2048, 4, 32)
    assert {(s.model, s.fraction) for s in stages} == {(512, 1.0)}


def test_kernel_grows_in_multiples():
    """old_nick: 16, 16, 16, 24, 24, 32 (reference/parts.md 2.1)."""
    growth = GrowthOptions([2, 4, 6, 8, 10], [5] * 5, kernel_multiple=8)
    kernels = [s.kernel for s in stages_of(growth, 12, 512, 2048, 8, 32)]
    assert kernels == [16, 16, 16, 24, 24, 32]


@pytest.mark.parametrize(
    "options, message",
    [
        (([4, 2], [1, 1]), "must rise"),
        (([2, 12], [1, 1]), "must rise"),
        (([2, 4], [1]), "one positive number"),
        (([2], [0]), "one positive number"),
    ],
)
def test_contradictions_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GrowthOptions(*options).check(12)
