"""The benchmark of lattices compares one path with itself, made in two ways."""

import dataclasses

from benchmarks.align_lattice import (
    NEVER,
    SURENESS,
    Size,
    make_lattice,
    measure_lattices,
)
from espnet_ext.alignment import joint_lattice

SMALL = Size(batch=2, frames=40, labels=20, vocabulary=12, readout=64)


def test_a_sure_lattice_is_pruned_and_the_other_way_never_is(monkeypatch):
    calls = []
    align = joint_lattice.align_in_corridor

    def counted(*args, **more):
        found = align(*args, **more)
        calls.append(bool(found.proven_B.all()))
        return found

    monkeypatch.setattr(joint_lattice, "align_in_corridor", counted)
    lattice = dataclasses.replace(make_lattice(*SURENESS[0], SMALL), least_work=0)
    lattice.path_and_sum(0, "exact")
    assert calls == [True]
    whole = dataclasses.replace(lattice, least_work=NEVER)
    whole.path_and_sum(0, "exact")
    assert calls == [True]


def test_one_row_for_each_degree_of_sureness_from_sure_to_unsure():
    rows = measure_lattices(1, SMALL)
    costs = [float(row["what"].rpartition(" ")[2]) for row in rows]
    assert len(rows) == len(SURENESS) and costs == sorted(costs)
    assert min(row["seconds"] for row in rows) > 0.0
