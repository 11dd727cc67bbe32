"""The book, built from the notebooks' own text with stand-in results, and opened in a browser."""

import functools
import http.server
import json
import os
import shutil
import threading
from types import SimpleNamespace

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_output

from inrkit import paths
from inrkit.companion import Record, book, store
from inrkit.render import sound_player

DESK, PHONE = 1280, 390
PATIENCE = 600_000  # milliseconds: for what never comes, not for what a busy machine is slow at
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items):
    """The book is built once, by one of several processes."""
    for item in items:
        if "book" in item.path.parts[-2:]:
            item.add_marker(pytest.mark.xdist_group("book"))


@pytest.fixture(scope="session")
def toc():
    return yaml.safe_load((paths.BOOK / "_toc.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def stand_in():
    return record_without_a_run


def record_without_a_run(id, profile="quick"):
    """A record of a notebook that was not run: its own text, a picture, a sound, a wide table."""
    folder = paths.RESULTS / profile / id
    folder.mkdir(parents=True)
    context = {"id": id, "profile": profile, "parameters": {"device": "cpu"}, "overrides": {}}
    (folder / store.CONTEXT).write_text(json.dumps(context))
    tone = sound_player(np.sin(np.arange(8000) / 9), 8000, label="a tone")
    figure, axes = plt.subplots(figsize=(9, 3))
    axes.plot([0, 1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INRKIT_RECORD", str(folder))
        record = Record(id, metrics=["mse"])
        record.used("camera", sha256="0" * 64, n=1, of=16)
        record.add("mse", 0.5, model="SIREN")
        record.figure(figure, "line")
        record.media(tone, "a tone")
        record.save()
    table = pd.DataFrame({f"a long heading {i}": ["some/long/name"] for i in range(8)})
    content = nbformat.read(paths.NOTEBOOKS / f"{id}.ipynb", as_version=4)
    content.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    *_, last = (cell for cell in content.cells if cell.cell_type == "code")
    picture = (folder / store.FIGURES / "line.svg").read_text()
    last.outputs = [
        new_output("display_data", data={"image/svg+xml": picture}),
        new_output("display_data", data={"text/html": table.style.to_html()}),
        new_output("display_data", data={"text/html": tone._repr_html_()}),
    ]
    nbformat.write(content, folder / store.NOTEBOOK)
    return folder


@pytest.fixture(scope="session")
def site(toc, stand_in, tmp_path_factory):
    """Folder of the built pages."""
    root = tmp_path_factory.mktemp("book")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "RESULTS", root / "results")
        for id in book.notebooks(toc):
            stand_in(id)
        return book.build(root).parent


@pytest.fixture(scope="session")
def address(site):
    """The site on a loopback server."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=site)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def browser():
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        refuse("no Chromium on this machine: the book was not looked at")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        settings = {"args": list(QUIET), "timeout": PATIENCE}
        chromium = playwright.chromium.launch(executable_path=found, **settings)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def new_page(browser):
    def new_page(**settings):
        page = browser.new_page(**settings)
        page.set_default_timeout(PATIENCE)
        return page

    return new_page


@pytest.fixture(scope="session")
def visit(new_page):
    """Open a page at a desk, wait for its mathematics, take it to a phone; what happened."""

    def visit(url, colours="light"):
        page = new_page(viewport={"width": DESK, "height": 844}, color_scheme=colours)
        seen = SimpleNamespace(errors=[], requests=[])
        page.on("console", lambda m: m.type == "error" and seen.errors.append(m.text))
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.on("requestfailed", lambda request: seen.errors.append(f"failed: {request.url}"))
        page.goto(url, wait_until="load")
        page.evaluate("window.MathJax && MathJax.startup.promise.then(() => null)")
        seen.too_wide = []
        for width in (DESK, PHONE):
            page.set_viewport_size({"width": width, "height": 844})
            if page.evaluate("document.documentElement.scrollWidth") > width:
                seen.too_wide.append(width)
        seen.formulas = page.locator("mjx-container").count()
        seen.broken = page.evaluate(
            "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
        )
        seen.text = page.inner_text("body")
        page.close()
        return seen

    return visit
