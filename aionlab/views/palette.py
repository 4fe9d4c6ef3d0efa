"""The few colours and marks of every view.

Text colours sit at a middle luminance, at least 3.8 : 1 against white and against #1e1e1e, because a saved output cannot know its
theme; surfaces and rules are translucent grey. A mark goes with each colour, so that nothing is said by colour alone.
"""

from __future__ import annotations

from typing import NamedTuple

from .html import Element, h

BLUE = "#2f7fd1"
GREEN = "#2a8f57"
RED = "#d9483b"
AMBER = "#ad7207"
VIOLET = "#8a6bd1"
GREY = "#7a7f87"

RULE = "rgba(128,128,128,0.28)"
SURFACE = "rgba(128,128,128,0.09)"
MONO = "font-family:monospace;font-size:92%"
SMALL = "font-size:88%"


class Look(NamedTuple):
    mark: str
    colour: str


_DONE, _BAD, _GOING, _HELD, _STOPPED = Look("✓", GREEN), Look("✗", RED), Look("▸", BLUE), Look("‖", AMBER), Look("⊘", VIOLET)
_IDLE = Look("·", GREY)
_LOOKS = {
    **dict.fromkeys(("Completed", "Fired", "Received", "ok"), _DONE),
    **dict.fromkeys(("Failed", "Stuck", "Crashed", "Down", "error"), _BAD),
    **dict.fromkeys(("Running", "Resident", "Started"), _GOING),
    **dict.fromkeys(("Paused", "Waiting for retry", "Waiting", "Restarting", "warning"), _HELD),
    **dict.fromkeys(("Cancelled", "Terminated"), _STOPPED),
    "TimedOut": Look("◷", RED),
    "ContinuedAsNew": Look("↻", GREEN),
    **dict.fromkeys(("Scheduled", "Pending", "Suspended", "Abandoned"), _IDLE),
}


def look(state: str) -> Look:
    """Mark and colour of a status or state; a neutral one for a word that is not known here."""
    found = _LOOKS.get(state)
    if found is None and state.startswith("Waiting"):
        return _HELD
    return found or _IDLE


def state(word: str) -> Element:
    """A status as people see it: its mark and its word in its colour."""
    mark, colour = look(word)
    return h("span", mark + " " + word, style=f"color:{colour};font-weight:600;white-space:nowrap")


def muted(*children: Element | str) -> Element:
    return h("span", *children, style=f"color:{GREY}")


def mono(text: str, title: str | None = None) -> Element:
    return h("span", text, style=MONO, title=title)
