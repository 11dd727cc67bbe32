"""The built pages as a reader sees them: in Chromium, at a desk and on a phone, with no network."""

import pytest


def pages(site):
    """Every page but the source listings, which differ from one another in their code only."""
    found = sorted(path.relative_to(site).as_posix() for path in site.rglob("*.html"))
    return [page for page in found if not page.startswith(("_modules/", "_static/"))]


@pytest.fixture(scope="module")
def visits(site, address, visit):
    return {page: visit(f"{address}/{page}") for page in pages(site)}


def test_no_page_logs_an_error(visits):
    assert {page: seen.errors for page, seen in visits.items() if seen.errors} == {}


def test_no_page_asks_another_host(visits, address):
    local = (address, "data:", "blob:")
    asked = {url for seen in visits.values() for url in seen.requests if not url.startswith(local)}
    assert asked == set()


def test_no_picture_is_broken(visits):
    assert {page: seen.broken for page, seen in visits.items() if seen.broken} == {}


def test_no_page_scrolls_sideways_at_a_desk_or_on_a_phone(visits):
    assert {page: seen.too_wide for page, seen in visits.items() if seen.too_wide} == {}


def test_mathematics_is_rendered(visits):
    assert visits["notation.html"].formulas > 10
    assert r"\mathbf" not in visits["notation.html"].text


@pytest.mark.parametrize("page", ["index.html", "notation.html"])
def test_the_book_opens_as_a_file(site, visit, page):
    seen = visit((site / page).as_uri(), colours="dark")
    assert seen.errors == [] and seen.broken == []
    assert {url.partition(":")[0] for url in seen.requests} <= {"file", "data", "blob"}
    assert seen.formulas > 10 or page == "index.html"


def test_search_finds_a_page(site, new_page):
    page = new_page()
    page.goto((site / "search.html").as_uri() + "?q=damping")
    page.wait_for_selector("#search-results li a")
    page.close()
