"""What is in the built pages, without a browser."""

from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from inrkit import paths
from inrkit.companion import book, chapter, items, measured, pages, statements
from inrkit.companion.errors import CompanionError
from inrkit.companion.measured import Measured
from inrkit.companion.statements import Finding, Statement
from inrkit.companion.verdicts import Deviation


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
        assert "Quick run" in banner.text
        if not id.startswith("beyond/"):
            assert "reduced" in banner.text and banner.select("table.settings tr")
        assert "camera (1 of 16)" in banner.text
        assert len(banner.select("a.download")) == 3
        stored = (paths.NOTEBOOKS / f"{id}.ipynb").read_bytes()
        downloads = (site / "_downloads").rglob(f"*/{id.split('/')[1]}.ipynb")
        assert any(path.read_bytes() == stored for path in downloads)


def test_the_landing_page_shows_the_statements_and_a_figure_of_each_ready_paper(site):
    soup = BeautifulSoup((site / "index.html").read_text(encoding="utf-8"), "html.parser")
    assert len(soup.select(".verdicts .paper")) == 5
    assert len(soup.select(".verdict-key span")) == len(statements.ANSWERS)
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
    assert "Recorded run" in shown[first]
    assert all("Quick run" in shown[id] for id in others)


def seen(rows=(), deviations=(), **run):
    """A record as its judges see it."""
    about = {
        "profile": "paper", "seconds": 90.0, "threads": 1, "commit": None, "clean": None,
        "start": "2026-11-21T10:00:00+00:00", "data": [], "notes": [], "parameters": {},
        "device": {"name": "a processor", "kind": "cpu"}, "versions": {"torch": "2.13"}, **run,
    }  # fmt: skip
    return Measured("spder/a", items.table(list(rows)), about, tuple(deviations))


def row(value, claim="", model="SIREN", item="", seed=0, metric="psnr"):
    return {"claim": claim, "model": model, "metric": metric, "item": item, "seed": seed,
            "value": float(value), "unit": "dB"}  # fmt: skip


def test_a_banner_counts_the_training_of_earlier_runs():
    assert "1 min 30 s" in chapter.banner(seen()).replace(chapter.NBSP, " ")
    resumed = chapter.banner(seen(training_seconds=7200)).replace(chapter.NBSP, " ")
    assert "2 h 0 min of training, resumed" in resumed


def test_a_banner_names_every_deviation_and_what_n_is():
    one = Deviation("steps", 500, 100)
    two = Deviation("pictures", "resized & whole", "crops", models=("SIREN",))
    rows = [row(1, item=i, seed=s) for i in "ab" for s in (0, 1, 3)]
    banner = chapter.banner(seen(rows, [one, two]))
    table = BeautifulSoup(banner, "html.parser").select("table.settings tr")
    cells = [[td.text for td in tr.select("td")] for tr in table[1:]]
    assert cells == [["steps", "500", "100"], ["pictures (SIREN)", "resized & whole", "crops"]]
    assert "items: 2 · seeds: 0 to 1, 3" in banner and "reduced scale" in banner
    plain = chapter.banner(seen(rows))
    assert "No setting differs from the paper's" in plain and "full scale" in plain


def test_a_page_says_that_its_chapter_has_changed(tmp_path, monkeypatch, stand_in):
    monkeypatch.setattr(paths, "RESULTS", tmp_path / "results")
    folder = stand_in("siren/wave")
    content = nbformat.read(folder / "notebook.ipynb", as_version=4)
    record = measured.read("siren/wave", folder)
    chapter.notebook(content, record)
    assert chapter.CHANGED not in content.cells[0].source
    content = nbformat.read(folder / "notebook.ipynb", as_version=4)
    content.cells[-2].source += "\nprint()"
    chapter.notebook(content, record)
    assert chapter.CHANGED in content.cells[0].source


def test_the_parameters_cell_shows_what_ran():
    source = "steps = 3  # of a fit\nrates = [1e-3,\n         1e-4]  # tried\nname = 'a'"
    ran = chapter.as_ran(source, {"steps": 500, "rates": [0.1], "name": "{b}"})
    assert ran.splitlines() == ["steps = 500  # of a fit", "rates = [0.1]  # tried", "name = '{b}'"]


def test_a_chapters_claims_say_what_they_rest_on():
    names = list("abcde")
    rows = [row(36, "spder-034", item=i) for i in names]
    rows += [row(30, "spder-036", model="SPDER", item=i) for i in names]
    soup = BeautifulSoup(chapter.claimed(seen(rows, cells={"spder-034": 7})), "html.parser")
    first, second = soup.select("tbody tr")
    assert first.select_one("a")["href"] == "#cell-7" and first.select_one("#spder-034")
    texts = [td.text for td in first.select("td")]
    assert texts[3:] == ["36 ± 0 dB", "5", "subset", "agrees", "reversed"]
    assert "minus SPDER: 6 [6, 6] dB, n = 5: reversed" in first.text
    assert "agrees from" in second.text and "worse" in second.text


def test_a_statement_shows_rule_interval_and_chapter():
    one = Statement("s-1", "spder", "Sec. 1", "It is < so.", "spder/a; spder/b", "as & said",
                    'value("psnr") > 1', 5, "")  # fmt: skip
    text = pages.stated([Finding(one, "undecided", ("psnr: 3",), "too few")], "../", ["spder/a"])
    soup = BeautifulSoup(text, "html.parser")
    assert [a["href"] for a in soup.select("a")] == ["../spder/a.html"]
    assert soup.select_one(".said").text == "undecided" and "It is < so." in soup.text
    for part in ("as & said", "psnr: 3", "too few", 'value("psnr") > 1', "spder/b"):
        assert part in soup.text
