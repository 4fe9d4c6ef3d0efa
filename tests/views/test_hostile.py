"""Strings from outside, in every field of every view: nothing escapes, nothing hides, nothing is lost."""

from __future__ import annotations

import re
import unicodedata
import xml.etree.ElementTree as ElementTree

import pytest

from aionlab.core.status import Status
from aionlab.views.frames import events_frame, groups_frame, registry_frame, runs_frame
from aionlab.views.preview import is_secret
from aionlab.views.runs import RunList
from aionlab.views.text import visible, width
from aionlab.views.timeline import Timeline
from tests.views.corpus import corpus
from tests.views.gallery import entry, gallery, hostile
from tests.views.reading import Page

pytestmark = pytest.mark.slow

CORPUS = corpus()
PARTS = 12
_UNUSUAL = re.compile("[^\n -~]")
_SVG = "{http://www.w3.org/2000/svg}"


def hidden(text: str) -> list[str]:
    """Characters that command, hide or reorder; joiners are allowed between two characters that are not ASCII."""
    found = []
    for match in _UNUSUAL.finditer(text):
        i, char = match.start(), match[0]
        if char in "\u200c\u200d":
            if not text[i - 1 : i] or text[i - 1].isascii() or not text[i + 1 : i + 2] or text[i + 1].isascii():
                found.append(char)
        elif unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") or char in "\u034f\u115f\u3164\ufffe\uffff":
            found.append(char)
    return found


def test_the_corpus_is_large_and_distinct() -> None:
    assert len(CORPUS) >= 300


@pytest.mark.parametrize("part", range(PARTS))
def test_every_view_survives_every_string(part: int) -> None:
    for text in CORPUS[part::PARTS]:
        for name, view in hostile(text):
            where = (name, text[:80])
            shown = view._repr_mimebundle_()
            plain, markup = shown["text/plain"], shown["text/html"]
            page = Page(markup)
            line = repr(view)
            assert page.faults == [], where
            assert hidden(plain) == hidden(page.text) == hidden("".join(page.titles)) == [], where
            assert "cannot be shown" not in plain, where
            assert "\n" not in line and hidden(line) == [] and width(line) < 1000, where
            assert len(plain) < 200_000 and len(markup) < 400_000, where
            plain.encode("utf-8"), markup.encode("utf-8")
            if isinstance(view, Timeline):
                assert {width(one) for one in plain.split("\n")} == {72}, where
            if len(visible(text[:100])) <= 30 and text.strip():
                # short enough to be cut nowhere
                assert visible(text).strip() in plain, where
                assert visible(text).strip() in page.text, where
            else:
                assert visible(text[:5]).strip() in page.text, where


def test_pictures_hold_only_shapes_and_text() -> None:
    for text in CORPUS:
        _, view = next(hostile(text))
        assert isinstance(view, Timeline)
        for node in ElementTree.fromstring(view.to_svg()).iter():
            assert node.tag.removeprefix(_SVG) in {"svg", "g", "rect", "line", "path", "text", "title", "defs", "pattern"}
            assert not {name for name in node.attrib if name.startswith("on") or "href" in name or name == "style"}
            assert all("url(" not in value or value.startswith("url(#aion-") for value in node.attrib.values())


def test_frames_hold_visible_text() -> None:
    events, runs = [], []
    for text in CORPUS:
        for _, view in hostile(text):
            if isinstance(view, Timeline):
                events += view.events
            elif isinstance(view, RunList):
                runs += view.runs
    frames = [
        events_frame(events, full=True),
        groups_frame(events),
        runs_frame(runs),
        registry_frame([entry(text) for text in CORPUS]),
    ]
    for frame in frames:
        texts = [*map(str, frame.columns), *map(str, frame.index)]
        for column in frame.columns:
            if str(frame[column].dtype) in ("string", "category"):
                texts += map(str, frame[column].dropna())
        assert hidden("".join(texts)) == [], list(frame.columns)


def test_the_samples_are_clean_and_name_the_same_ids_in_both_forms() -> None:
    for name, view in gallery():
        shown = view._repr_mimebundle_()
        page = Page(shown["text/html"])
        assert page.faults == [], name
        known = (
            "o-1",
            "o-2",
            "reminder/ada",
            "batch-7",
            "activity#0",
            "activity#1",
            "timer#0",
            "signal#0",
            "deadline",
            "lab.db",
            "order",
        )
        ids = {word for word in known if word in shown["text/plain"]}
        ids |= {
            word
            for word in shown["text/plain"].split()
            if word.startswith(("0192f0c1", "<", "3f2a91c", "1a2b3c4")) and "…" not in word
        }
        assert ids and not {word for word in ids if word not in page.text + " ".join(page.titles)}, name
        assert "sk-" not in shown["text/plain"] + shown["text/html"], name
        assert all(str(status) in page.text for status in Status if f" {status}" in shown["text/plain"].split("\n")[0]), name


def test_a_secret_key_hides_what_stands_under_it() -> None:
    assert is_secret("X-API-Key") and is_secret("dbPassword") and not is_secret("customer")
