"""Schedules: workflows started by the clock.

A schedule is a history of its own under a workflow id that has no runs, so nothing that looks at runs ever meets one. `schedule` is the fold,
`book` all of them with their alarm, `firing` what becomes of a time, `recovery` how they come back, `verbs` what users do.
"""
from __future__ import annotations

from .book import Book
from .schedule import Schedule

__all__ = ["Book", "Schedule"]
