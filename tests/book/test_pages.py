"""What is in the built pages, without a browser."""

from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from inrkit import paths
from inrkit.companion import book, pages
from inrkit.companion.errors import CompanionError


@pytest.fixture(scope="module")
def soups(site):
    return {
        page: BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for page in site.rglob("*.html")
        if "_static" not in page.relative_to(site).parts
    }


def references(soup):
    for tag, attribute in (("a", "href"), ("img", "src"), ("script", "src"), ("link", "href")):
        for element in soup.find_all(tag, **{attribute: True}):
            yield tag, element[attribute]


def test_every_link_and_image_leads_somewhere(soups):
    anchors = {
        page.resolve(): {e["id"] for e in soup.find_all(id=True)} for page, soup in soups.items()
    }
    broken = []
    for page, soup in soups.items():
        for _, reference in references(soup):
            url = urlsplit(reference)
            if url.scheme or reference in ("#", ""):
                continue
            target = (page.parent / unquote(url.path)).resolve() if url.path else page.resolve()
            known = url.fragment in anchors.get(target, {url.fragment}) or not url.fragment
            if not target.exists() or not known:
                broken.append((page.name, reference))
    assert broken == []


def test_scripts_styles_and_pictures_are_local(soups):
    foreign = [
        (page.name, reference)
        for page, soup in soups.items()
        for tag, reference in references(soup)
        if tag != "a" and urlsplit(reference).scheme not in ("", "data")
    ]
    assert foreign == []


def test_each_notebook_says_what_its_run_was(site, toc):
    for id in book.notebooks(toc):
        soup = BeautifulSoup((site / f"{id}.html").read_text(encoding="utf-8"), "html.parser")
        (banner,) = soup.select(".run-banner")
        assert "Quick run" in banner.text and "reduced scale" in banner.text
        assert "camera (1 of 16)" in banner.text
        assert len(banner.select("a.download")) == 3
        stored = (paths.NOTEBOOKS / f"{id}.ipynb").read_bytes()
        downloads = (site / "_downloads").rglob(f"*/{id.split('/')[1]}.ipynb")
        assert any(path.read_bytes() == stored for path in downloads)


def test_the_landing_page_shows_the_verdicts_and_a_figure_of_each_ready_paper(site):
    soup = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert len(soup.select(".verdicts .paper")) == 5
    linked = [card for card in soup.select(".sd-card") if card.select("a.sd-stretched-link")]
    assert len(linked) >= 2 and all(card.select("img") for card in linked)


def test_every_public_module_has_its_reference(site):
    package = paths.ROOT / "inrkit"
    for module in package.glob("*/[!_]*.py"):
        page = (site / "api" / f"{module.parent.name}.html").read_text(encoding="utf-8")
        assert f"module-inrkit.{module.parent.name}.{module.stem}" in page


def test_a_missing_record_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    with pytest.raises(CompanionError, match="siren/initialization.*inrkit run"):
        book.stage(tmp_path / "stage")


def test_notebooks_without_a_record_are_left_out_where_that_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    staged = book.stage(tmp_path / "stage", strict=False)
    contents = (staged / "_toc.yml").read_text(encoding="utf-8")
    assert "siren/index" in contents and "siren/initialization" not in contents


def test_a_recorded_run_is_shown_before_a_quick_one(tmp_path, monkeypatch, stand_in, toc):
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    first, *others = book.notebooks(toc)
    for id in (first, *others):
        stand_in(id)
    stand_in(first, profile="paper")
    staged = book.stage(tmp_path / "stage")
    shown = {id: (staged / f"{id}.ipynb").read_text(encoding="utf-8") for id in (first, *others)}
    assert "Recorded run" in shown[first] and "subset scale" in shown[first]
    assert all("Quick run" in shown[id] for id in others)


def test_a_banner_counts_the_training_of_earlier_runs():
    run = {
        "profile": "paper", "scale": "full", "seconds": 90.0, "threads": 1, "commit": None,
        "clean": None, "start": "2026-11-21T10:00:00+00:00", "data": [], "notes": [],
        "device": {"name": "a processor", "kind": "cpu"}, "versions": {"torch": "2.13"},
    }  # fmt: skip
    assert "1 min 30 s" in pages.banner("spder/a", run).replace(pages.NBSP, " ")
    resumed = pages.banner("spder/a", {**run, "training_seconds": 7200})
    assert "2 h 0 min of training, resumed" in resumed.replace(pages.NBSP, " ")
