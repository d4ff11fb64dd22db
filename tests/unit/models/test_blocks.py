"""Which cross-sections are blocks: none shares an outcome with another, and silence lets time pass."""

import numpy as np

from hosu.features.panel import LabelledRows
from hosu.models.matured import Matured, blocks

WIDE = 4


def matured(version, sections, symbols=WIDE):
    """Predictions of one version: by time, (the end of its label, when it was made, whether it answered)."""
    t = np.repeat([each[0] for each in sections], symbols)
    rank = np.tile(np.arange(symbols, dtype=float), len(sections))
    said = np.repeat([each[3] for each in sections], symbols)
    count = len(t)
    rows = LabelledRows(
        symbols=tuple("abcdef"[:symbols]),
        sessions=("2026-01-02",),
        names=(),
        symbol=np.tile(np.arange(symbols, dtype=np.int32), len(sections)),
        session=np.zeros(count, np.int32),
        t=t,
        t0=t,
        t1=np.repeat([each[1] for each in sections], symbols),
        t1_session=np.zeros(count, np.int32),
        features=np.empty((count, 0)),
        reason=np.zeros(count, np.uint8),
        weight=np.ones(count),
        ret_last=np.full(count, np.nan),
        label=np.ones(count, np.int8),
        **dict.fromkeys(("price", "ret_px", "ret_ex", "band", "half_spread", "value_20"), rank),
    )
    made, score = np.repeat([each[2] for each in sections], symbols), np.where(said, rank, np.nan)
    return Matured("day-5", version, rows, made, np.full((count, 3), 1 / 3), score, score)


def of(*versions):
    found = blocks(versions, min_symbols=WIDE)
    return found.t.tolist(), found.made.tolist(), {key: ic.tolist() for key, ic in found.ic.items()}


def test_blocks_share_no_outcome():
    t, made, ics = of(matured(1, [(0, 5, 1, True), (3, 8, 4, True), (5, 10, 6, True)]))
    assert (t, made, ics) == ([0, 5], [1, 6], {1: [1.0, 1.0]})


def test_time_passes_where_everybody_was_asked_and_nobody_answered():
    nobody = [(0, 5, 2, False), (2, 7, 3, False), (5, 10, 6, False)]
    t, made, ics = of(matured(1, nobody), matured(2, [(0, 6, 1, False)]))
    assert (t, made) == ([0], [1])  # the label of one of them ends at 6: what begins at 5 overlaps
    t, made, ics = of(matured(1, nobody))
    assert (t, made) == ([0, 5], [2, 6])
    assert np.isnan(ics[1]).all()


def test_silence_takes_no_block_from_who_answers():
    silent = matured(1, [(0, 5, 1, False), (4, 9, 5, False), (12, 17, 13, False)])
    t, made, ics = of(silent, matured(2, [(3, 8, 4, True), (8, 13, 9, True)]))
    assert (t, made, ics[2]) == ([3, 8], [4, 9], [1.0, 1.0])
    t, _, ics = of(silent, matured(2, [(5, 10, 6, True)]))
    assert t == [0, 5, 12]
    np.testing.assert_array_equal(ics[2], [np.nan, 1.0, np.nan])


def test_few_symbols_are_no_block_whether_they_answered_or_not():
    few = [(0, 5, 1, True), (5, 10, 6, False)]
    assert of(matured(1, few, symbols=WIDE - 1))[0] == []
