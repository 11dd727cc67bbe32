"""Names, notes, units and captions reach pages as the characters that they are."""

from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from inrkit.companion import chapter, claims, items, records
from inrkit.companion.measured import Measured
from inrkit.companion.verdicts import Deviation

EVIL = [
    "<script>alert(1)</script>", '" onerror="alert(1)', "a & b", "x | y", "**b** _e_ `c` $m$",
    "[l](javascript:x)", "line\n\n:::\n# heading", "{raw}`x`", "&lt;b&gt;", "'", "<!--", "\\<b>",
]  # fmt: skip
RUN = {
    "profile": "quick", "seconds": 90.0, "threads": 1, "commit": None, "clean": None, "fits": [],
    "start": "2025-01-02T03:04:05+00:00", "device": {"kind": "cpu", "name": "CPU"},
    "versions": {"torch": "2"}, "data": [], "notes": [], "cells": {},
}  # fmt: skip


class Page(HTMLParser):
    """The tags and the text of a piece of HTML."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.tags.append(("comment", {}))


def rendered(markdown):
    return Page(MarkdownIt("commonmark").enable("table").render(markdown))


def words(text):
    return " ".join(text.split())


@given(st.text("<>&\"'`*_|[](){}$#\\ab1\n ;!~^=x", max_size=30))
@settings(max_examples=200, deadline=None)
def test_text_is_itself_in_markdown_tables_and_html(text):
    escaped = chapter.text(text)
    page = rendered(f"said: {escaped}\n")
    assert words(page.text) == words(f"said: {text}") and page.tags == [("p", {})]
    assert words(Page(f"<td>{escaped}</td>").text) == words(text)
    table = rendered(f"| a | b |\n| --- | --- |\n| {escaped} | end |\n")
    assert [tag for tag, _ in table.tags].count("td") == 2


def record(**run):
    rows = [{"claim": "spder-018", "model": "m", "metric": "mse", "item": "", "seed": 0,
             "value": 0.5, "unit": ""}]  # fmt: skip
    more = Deviation("width", run.pop("paper", 1), run.pop("here", 2), run.pop("models", ()))
    return Measured("spder/a", items.table(rows), {**RUN, **run}, (more,))


@pytest.mark.parametrize("evil", EVIL)
def test_the_banner(evil):
    plain = rendered(chapter.banner(record()))
    data = [{"name": evil, "n": 1, "of": 2}]
    told = {"data": data, "notes": [evil, "two"], "paper": evil, "here": {evil: [evil]},
            "device": {"kind": "cpu", "name": evil}, "models": (evil,)}  # fmt: skip
    page = rendered(chapter.banner(record(**told)))
    said = words(page.text)
    assert said.count(words(evil)) >= 6 and f"Remarks: {words(evil)}; two" in said
    added = [tag for tag, _ in page.tags]
    for tag, _ in plain.tags:
        added.remove(tag)
    assert set(added) <= {"p", "small", "br"}
    assert all(set(attributes) <= {"class", "open", "href"} for _, attributes in page.tags)


@pytest.mark.parametrize("evil", EVIL)
def test_claims_alt_texts_and_tables(evil, monkeypatch, tmp_path):
    claim = claims.claims()["spder-018"]
    changes = {"setting": evil, "unit": evil, "apart": evil, "reading": "", "metric": evil}
    known = {claim.id: claims.Claim(**{**vars(claim), **changes})}
    monkeypatch.setattr(claims, "claims", lambda: known)
    for html in (
        chapter.claimed(record()),
        records.Record.verdicts(SimpleNamespace(so_far=record)).to_html(),
    ):
        page = Page(html)
        assert words(evil) in words(page.text)
        assert not {tag for tag, _ in page.tags} & {"script", "comment", "img"}
    picture = tmp_path / "a.webp"
    picture.write_bytes(b"")
    ((tag, attributes),) = Page(records._embedded(picture, evil).data).tags
    assert tag == "img" and set(attributes) == {"alt", "src"} and attributes["alt"] == evil
