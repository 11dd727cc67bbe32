"""Pictures with labels: what is drawn, and what is refused."""

import gzip
import struct

import numpy as np
import pytest
import torch

from inrkit.signals import labelled_images
from inrkit.signals.labelled import read_idx


def test_drawn_shapes_are_balanced_and_the_same_each_time():
    first, again = (labelled_images("shapes", 60, train=True) for _ in range(2))
    assert torch.equal(first.images, again.images) and first.sha256 == again.sha256
    assert torch.bincount(first.labels).tolist() == [10] * 6
    assert first.images.shape == (60, 256, 1) and first.images.abs().max() <= 1
    assert first.coords.shape == (256, 2) and first.picture(0).shape == (16, 16, 1)
    test = labelled_images("shapes", 60, train=False)
    assert not torch.equal(test.images, first.images)


def test_the_first_ones_are_those_asked_for():
    data = labelled_images("shapes", 12, train=True)
    some = data.first(5)
    assert torch.equal(some.images, data.images[:5]) and torch.equal(some.labels, data.labels[:5])
    assert (len(some), some.of, some.sha256) == (5, data.of, data.sha256)
    assert len(data.first(100)) == 12


def test_a_ring_has_a_hole_and_a_disc_has_none():
    data = labelled_images("shapes", 60, train=True)
    for index in range(60):
        picture = data.picture(index)[..., 0]
        weights = picture - picture.min()
        middle = [
            int(round((weights * axis).sum() / weights.sum())) for axis in np.indices((16, 16))
        ]
        relative = weights[tuple(middle)] / weights.max()
        kind = data.classes[data.labels[index]]
        if kind == "disc":
            assert relative > 0.9
        if kind == "ring":
            assert relative < 0.4


def test_files_are_read_as_their_format_says(tmp_path):
    numbers = np.random.default_rng(0).integers(0, 256, (2, 3, 4), np.uint8)
    header = struct.pack(">BBBBIII", 0, 0, 8, 3, 2, 3, 4)
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header + numbers.tobytes()))
    assert np.array_equal(read_idx(path), numbers)
    path.write_bytes(gzip.compress(header + numbers.tobytes()[1:]))
    with pytest.raises(ValueError, match="MNIST's format"):
        read_idx(path)


def test_what_is_refused():
    with pytest.raises(ValueError, match="no labelled pictures"):
        labelled_images("faces", train=True)
    with pytest.raises(ValueError, match="at least 1"):
        labelled_images("shapes", -3, train=True)
