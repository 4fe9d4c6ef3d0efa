"""The list of queues, as text and as a frame."""
from __future__ import annotations

import pandas as pd
import pytest

from aionlab.views.frames import queues_frame
from aionlab.views.queues import QueueList
from tests.views.gallery import queue_states


def test_queues_as_text() -> None:
    shown = QueueList(queue_states())
    assert str(shown).splitlines() == [
        "queue    waiting  running  at once  rate       priorities",
        "default        0       12",
        "order     99,998        2        2",
        "mail           7        3           50 per 1m  no",
    ]
    assert repr(shown) == "<Queues: 3 queues, 100,005 waiting, 17 running>" and len(shown) == 3 and str(QueueList([])) == "no queues"


def test_a_queue_by_its_name() -> None:
    shown = QueueList(queue_states())
    assert shown["order"].concurrency == 2 and [state.name for state in shown] == ["default", "order", "mail"]
    with pytest.raises(KeyError):
        shown["nothing"]


def test_queues_frame() -> None:
    frame = QueueList(queue_states()).to_frame()
    assert list(frame.index) == ["default", "order", "mail"] and frame.index.name == "queue"
    assert frame.loc["mail", "period"] == pd.Timedelta(minutes=1) and pd.isna(frame.loc["order", "period"]) and pd.isna(frame.loc["default", "rate"])
    assert list(queues_frame([]).dtypes) == list(frame.dtypes)
