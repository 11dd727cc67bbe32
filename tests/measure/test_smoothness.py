"""Quality of fields as pictures, against polynomials and waves whose derivatives are known."""

import numpy as np
import pytest
import torch
from torch import nn

from inrkit.measure import between_pixels, picture_quality, second_differences
from inrkit.signals import grid

SHAPE = (9, 13)
ROW, COLUMN = (2 / (n - 1) for n in SHAPE)


class Swinging(nn.Module):
    """A polynomial, plus a wave that no pixel sees: it has whole periods between two rows."""

    def __init__(self, amplitudes):
        super().__init__()
        sizes = torch.tensor(amplitudes, dtype=torch.float64)
        self.amplitudes = nn.Parameter(sizes[:, None, None])

    def forward(self, x):
        row, column = x[..., :1], x[..., 1:]
        phase = 2 * torch.pi / ROW * (row + 1)
        return polynomial(row, column) + self.amplitudes * (torch.cos(phase) - 1)


def polynomial(row, column):
    return 0.3 * row * row - 0.4 * row * column + 0.1 * column * column


def test_a_wave_between_pixels_is_rough_and_unseen_at_the_pixels():
    amplitudes = np.array([0.0, 0.01, 0.05])
    coords = grid(SHAPE, dtype=torch.float64)
    pictures = polynomial(coords[:, :1], coords[:, 1:]).expand(3, -1, -1)
    found = picture_quality(Swinging(amplitudes.tolist()), pictures, SHAPE, group=2)
    assert (found.at_pixels > 200).all()  # rounding
    # half way between two rows the cosine is -1
    known = 10 * np.log10(4 / (2 * amplitudes[1:]) ** 2)
    assert np.allclose(found.between[1:], known) and found.between[0] > 200
    # derivatives of the polynomial are 0.6, -0.4 and 0.2; the wave's at the pixels
    wave = -amplitudes * (2 * np.pi / ROW) ** 2
    rest = 2 * (0.4 * ROW * COLUMN) ** 2 + (0.2 * COLUMN**2) ** 2
    bends = ((0.6 + wave) * ROW**2) ** 2 + rest
    assert np.allclose(found.roughness, np.sqrt(bends / bends[0]))
    assert np.isclose(found.roughness[0], 1)


def test_second_differences_of_a_wave():
    k, n = 0.9, 4000
    wave = np.sin(k * np.arange(n))[None, None, :, None] * np.ones((1, 5, 1, 2))
    assert np.isclose(second_differences(wave)[0], (2 - 2 * np.cos(k)) ** 2 / 2, rtol=1e-2)


def test_a_spline_keeps_cubic_polynomials():
    row, column = np.meshgrid(np.arange(6.0), np.arange(7.0), indexing="ij")

    def cubic(r, c):
        return r**3 - 2 * r * c**2 + c

    found = between_pixels(cubic(row, column)[None, ..., None])[0, ..., 0]
    assert np.allclose(found, cubic(row + 0.5, column + 0.5)[:-1, :-1])
    with pytest.raises(ValueError, match="4 x 4"):
        between_pixels(np.zeros((1, 3, 8, 1)))


def test_a_flat_picture_makes_any_field_rough():
    flat = torch.zeros(1, 9 * 13, 1, dtype=torch.float64)
    assert picture_quality(Swinging([0.1]), flat, SHAPE).roughness[0] == np.inf
