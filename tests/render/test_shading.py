"""Pictures of a sphere and of planes, where every pixel is known."""

import sys
from contextlib import contextmanager

import numpy as np
import pytest
import trimesh

from inrkit.render import shaded, turntable
from inrkit.render.shading import AMBIENT, COLOUR, HALF_WIDTH, LIGHT


def ball(subdivisions=4, radius=0.8):
    made = trimesh.creation.icosphere(subdivisions, radius)
    return np.array(made.vertices), np.array(made.faces)


def square(z, half=0.6):
    """Facing the viewer at azimuth and elevation 0."""
    corners = np.array([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    return corners, np.array([[0, 1, 2], [0, 2, 3]])


def middles(size):
    return ((np.arange(size) + 0.5) / size * 2 - 1) * HALF_WIDTH


def brightness(cosine):
    return 255 * COLOUR[2] * (AMBIENT + (1 - AMBIENT) * np.maximum(cosine, 0))


def test_a_sphere_is_a_disc_with_lamberts_shading():
    picture = shaded(*ball(5), azimuth=37, elevation=12, size=96)
    x, y = np.meshgrid(middles(96), -middles(96))
    radius = np.hypot(x, y)
    assert (picture[radius > 0.83] == 255).all()
    within = radius < 0.75
    z = np.sqrt(np.maximum(0.64 - radius**2, 0))
    cosine = np.stack([x, y, z], axis=-1) / 0.8 @ (LIGHT / np.linalg.norm(LIGHT))
    assert np.abs(picture[..., 2][within] - brightness(cosine)[within]).max() < 6


def test_the_nearer_of_two_faces_is_seen_whatever_their_order():
    big, faces = square(0.0)
    small, _ = square(0.5, half=0.3)
    small[:2, 2] -= 0.2  # tilted, so that it has another shade
    small[2:, 2] += 0.2
    alone = shaded(small, faces, azimuth=0, elevation=0, size=60)
    for first, second in ((big, small), (small, big)):
        both = shaded(np.vstack([first, second]), np.vstack([faces, faces + 4]),
                      azimuth=0, elevation=0, size=60)  # fmt: skip
        np.testing.assert_array_equal(both[25:35, 25:35], alone[25:35, 25:35])
    hidden = small * [1, 1, -1]
    behind = shaded(np.vstack([big, hidden]), np.vstack([faces, faces[:, ::-1] + 4]),
                    azimuth=0, elevation=0, size=60)  # fmt: skip
    np.testing.assert_array_equal(behind, shaded(big, faces, azimuth=0, elevation=0, size=60))


def test_a_square_covers_its_area_without_gaps_and_only_from_outside():
    corners, faces = square(0.1)
    picture = shaded(corners, faces, azimuth=0, elevation=0, size=110)
    covered = (255.0 - picture[..., 2]) / (255 - brightness(LIGHT[2] / np.linalg.norm(LIGHT)))
    assert covered.sum() * (2 * HALF_WIDTH / 110) ** 2 == pytest.approx(1.44, rel=0.02)
    assert len(np.unique(picture[30:80, 30:80, 2])) == 1
    assert (shaded(corners, faces[:, ::-1], azimuth=0, elevation=0) == 255).all()
    assert (shaded(corners, faces, azimuth=180, elevation=0) == 255).all()


def test_right_and_up_are_as_said():
    corners, faces = square(0.0, half=0.1)
    corners += [0.5, 0.7, 0]
    rows, columns = np.nonzero(
        shaded(corners, faces, azimuth=0, elevation=0, size=110)[..., 2] < 255
    )
    assert middles(110)[columns].mean() == pytest.approx(0.5, abs=0.01)
    assert -middles(110)[rows].mean() == pytest.approx(0.7, abs=0.01)


def test_what_lies_outside_the_picture_is_cut():
    corners, faces = square(0.0, half=5.0)
    assert (shaded(corners, faces, azimuth=0, elevation=0, size=20)[..., 2] < 255).all()
    assert (shaded(corners + [20, 0, 0], faces, azimuth=0, elevation=0, size=20) == 255).all()


def test_a_turntable_turns_once():
    vertices, faces = ball(2)
    vertices = vertices + [0.2, 0, 0.1]
    frames = turntable(vertices, faces, frames=4, size=40, elevation=0)
    assert frames.shape == (4, 40, 40, 3) and frames.dtype == np.uint8
    for frame, azimuth in zip(frames, (0, 90, 180, 270), strict=True):
        one = shaded(vertices, faces, azimuth=azimuth, elevation=0, size=40)
        assert (frame != one).mean() < 0.01  # the edge may be rounded to either side
    left, right = (np.nonzero(frames[i][..., 2] < 255)[1].mean() for i in (2, 0))
    assert left < 19 < 20 < right


@contextmanager
def calls_counted():
    """All calls of functions within the block, those written in C too, as a list of one number."""
    count = [0]

    def seen(frame, event, argument):
        count[0] += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        yield count
    finally:
        sys.setprofile(None)


def test_a_large_mesh_takes_no_more_calls_than_a_small_one():
    counts = []
    for mesh in (ball(2), ball(6)):  # 320 and 81,920 faces
        with calls_counted() as count:
            turntable(*mesh, frames=2, size=40)
        counts += count
    assert counts[1] < counts[0] + 320
