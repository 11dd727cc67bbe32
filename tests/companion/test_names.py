"""File names of anyone's words: safe, distinct, and the same ones again."""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inrkit.companion.names import Names, safe

WORDS = [
    "a/b", "a-b", "a\\b", "../../etc/passwd", "..", ".", "", " ", "/", "C:\\x", "a:b", "con",
    "CON", "con.txt", "Aux .x", "lpt1", "x" * 300, "x" * 299 + "y", "é" * 200, "e\u0301", "\u00e9",
    "SIREN", "siren", "straße", "STRASSE", "a\0b", "a\nb", "a?b", "a*b", "-a", ".hidden", "a.",
    "a ", "name<script>", '"quoted"', "δ = √2", "📷", "\ud800",
]  # fmt: skip


def check(names):
    """As the strictest of the file systems would: by bytes, letters and words."""
    hand_out = Names()
    made = [hand_out(name) for name in names]
    assert made == [hand_out(name) for name in names]
    for file in made:
        assert file and not set(file) & set('<>:"/\\|?*')
        assert not {unicodedata.category(letter) for letter in file} & {"Cc", "Cs", "Zl", "Zp"}
        assert file == file.strip(" .") and len(f"{file}.0123456789abcdef.webp".encode()) < 255
        assert file.split(".")[0].strip().upper() not in {"CON", "PRN", "AUX", "NUL", "LPT1"}
    alike = {unicodedata.normalize("NFC", file).casefold() for file in made}
    assert len(alike) == len(set(names))


def test_awkward_names():
    check(WORDS)
    check(WORDS[::-1])


@given(st.lists(st.text(max_size=60), max_size=6, unique=True))
@settings(max_examples=60, deadline=None)
def test_any_names(names):
    check(names)


@pytest.mark.parametrize("name", ["psnr-curves", "k 0.5 1", "SIREN-text, lr 0.001", "δ = sqrt"])
def test_what_is_safe_stays(name):
    assert safe(name) == name


def test_a_record_keeps_its_files_within_its_folder(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    from inrkit.companion import Record
    from inrkit.render import Player

    monkeypatch.setattr("inrkit.paths.RESULTS", tmp_path)
    record = Record("spder/a", metrics=[])
    names = ["../../own", "a/b", "a-b", "A-B", "x" * 400]
    for name in names:
        record.figure(plt.figure(), name)
        record.figure(plt.figure(), f"{name} seen", raster=True)
        record.media(Player(b"sound", "audio/flac", "flac", "label"), name)
    stored = os.listdir(record.folder / "figures")
    assert sorted(stored) == sorted(record.figures) and len(stored) == 3 * len(names)
    files = {record.checkpoint(name) for name in names}
    assert len(files) == len(names) and {file.parent for file in files} == {files.pop().parent}
    assert record.checkpoint("natural512/test/00").name == "natural512-test-00.pt"
