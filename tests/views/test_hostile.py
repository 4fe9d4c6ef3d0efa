"""Strings from outside, in every field of every view: nothing escapes, nothing hides, nothing is lost."""
from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ElementTree

import pytest

from aionlab.core.status import Status
from aionlab.views.frames import events_frame, groups_frame, registry_frame, runs_frame
from aionlab.views.preview import is_secret
from aionlab.views.text import clip, label, visible, width
from aionlab.views.timeline import Timeline
from tests.views.corpus import corpus
from tests.views.gallery import entry, gallery, hostile
from tests.views.reading import Page

CORPUS = corpus()
PARTS = 12
_SVG = "{http://www.w3.org/2000/svg}"


def hidden(text: str) -> list[str]:
    """Characters that command, hide or reorder; joiners are allowed between two characters that are not ASCII."""
    found = []
    for i, char in enumerate(text):
        if char == "\n" or (char.isascii() and char.isprintable()):
            continue
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
            shown = view._repr_mimebundle_()
            plain, markup = shown["text/plain"], shown["text/html"]
            where = (name, text[:80])
            page = Page(markup)
            assert page.faults == [], where
            assert hidden(plain) == hidden(page.text) == [], where
            assert hidden("".join(page.titles)) == [], where
            assert "cannot be shown" not in plain or "cannot be shown" in text, where
            assert "\n" not in repr(view) and hidden(repr(view)) == [] and len(repr(view)) < 1000, where
            assert plain == str(view) and len(plain) < 200_000 and len(markup) < 400_000, where
            plain.encode("utf-8")
            markup.encode("utf-8")


@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_sent_can_be_read_back(part: int) -> None:
    for text in CORPUS[part::PARTS]:
        for name, view in hostile(text):
            shown = view._repr_mimebundle_()
            page = Page(shown["text/html"])
            said = " ".join(label(text, 60).split()) if len(text) > 30 or not text.isprintable() else text
            squeezed = " ".join(page.text.split())
            if width(visible(text[:100])) <= 30:
                # timelines cut names to their column; the heading has the id whole
                assert " ".join(visible(text).split()) in squeezed, (name, text)
                assert visible(text).rstrip() in shown["text/plain"], (name, text)
            elif not name.startswith("timeline"):
                assert said[:10] in squeezed, (name, text[:80])


@pytest.mark.parametrize("part", range(4))
def test_lines_of_a_timeline_are_equally_wide(part: int) -> None:
    for text in CORPUS[part::4]:
        for name, view in hostile(text):
            if isinstance(view, Timeline):
                assert {width(line) for line in str(view).split("\n")} == {72}, (name, text[:80])


def test_pictures_hold_only_shapes_and_text() -> None:
    for text in CORPUS:
        for _, view in hostile(text):
            if not isinstance(view, Timeline):
                break
            root = ElementTree.fromstring(view.to_svg())
            for node in root.iter():
                assert node.tag.removeprefix(_SVG) in {"svg", "g", "rect", "line", "path", "text", "title", "defs", "pattern"}
                assert not {name for name in node.attrib if name.startswith("on") or "href" in name or name == "style"}
                assert all("url(" not in value or value.startswith("url(#aion-") for value in node.attrib.values())


def test_frames_hold_visible_text() -> None:
    for text in CORPUS:
        for name, view in hostile(text):
            if name == "timeline-failed" and isinstance(view, Timeline):
                frames = [events_frame(view.events, full=True), groups_frame(view.events)]
            elif name == "runs":
                frames = [runs_frame(view.runs), registry_frame([entry(text)])]  # type: ignore[attr-defined]
            else:
                continue
            for frame in frames:
                texts = [*map(str, frame.columns), *(str(one) for one in frame.index)]
                for column in frame.columns:
                    if str(frame[column].dtype) in ("string", "category"):
                        texts += [str(one) for one in frame[column].dropna()]
                assert hidden("".join(texts)) == [], (name, text[:80])


def test_the_samples_are_clean_and_name_the_same_ids_in_both_forms() -> None:
    for name, view in gallery():
        shown = view._repr_mimebundle_()
        page = Page(shown["text/html"])
        assert page.faults == [], name
        ids = {word for word in ("o-1", "o-2", "reminder/ada", "batch-7", "activity#0", "activity#1", "timer#0", "signal#0", "deadline") if word in shown["text/plain"]}
        ids |= {word for word in shown["text/plain"].split() if word.startswith(("0192f0c1", "<", "3f2a91c", "1a2b3c4")) and "…" not in word}
        assert ids and not {word for word in ids if word not in page.text}, name
        assert "sk-" not in shown["text/plain"] + shown["text/html"], name
        assert all(str(status) in page.text for status in Status if f" {status}" in shown["text/plain"].split("\n")[0]), name


def test_a_secret_key_hides_what_stands_under_it() -> None:
    assert is_secret("X-API-Key") and is_secret("dbPassword") and not is_secret("customer")
    assert clip("a" * 5, 3) == "aa…"
