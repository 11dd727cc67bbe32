"""Sounds and videos load and show what they should, in Chromium, from a page that is a file."""

import numpy as np
import pytest

from inrkit.render import sound_player, video_player

RED, RATE = (200, 40, 30), 8000
FRAMES = np.full((20, 32, 48, 3), RED, np.uint8)

READY = "[...document.querySelectorAll('audio, video')].every(e => e.error || e.readyState > 1)"
COLOUR = """video => {
    const canvas = document.createElement("canvas")
    canvas.width = video.videoWidth
    canvas.height = video.videoHeight
    const drawing = canvas.getContext("2d")
    drawing.drawImage(video, 0, 0)
    return [...drawing.getImageData(24, 16, 1, 1).data]
}"""


@pytest.fixture(scope="module")
def page(new_page, tmp_path_factory):
    players = (
        sound_player(np.sin(np.arange(RATE) / 9), RATE, label="a tone"),
        video_player(FRAMES, 10, label="all red"),
    )
    path = tmp_path_factory.mktemp("players") / "page.html"
    body = "".join(player._repr_html_() for player in players)
    path.write_text(f"<!doctype html><title>players</title><body>{body}</body>")
    page = new_page(viewport={"width": 390, "height": 844})
    page.goto(path.as_uri())
    page.wait_for_function(READY)
    yield page
    page.close()


@pytest.mark.parametrize(("tag", "seconds"), [("audio", 1.0), ("video", 2.0)])
def test_a_player_has_its_length_and_controls(page, tag, seconds):
    element = page.locator(tag)
    assert element.evaluate("e => e.error && e.error.message") is None
    assert element.evaluate("e => e.duration") == pytest.approx(seconds, abs=0.1)
    assert element.evaluate("e => e.controls")
    assert element.get_attribute("aria-label") in ("a tone", "all red")


def test_a_video_shows_its_colours(page):
    *colour, opaque = page.locator("video").evaluate(COLOUR)
    np.testing.assert_allclose(colour, RED, atol=12)
    assert opaque == 255


def test_players_fit_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
