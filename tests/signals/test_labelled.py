"""Pictures with labels: what is drawn, and what is refused."""

import gzip
import struct

import numpy as np
import pytest
import torch

from inrkit.signals import labelled, labelled_images
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


@pytest.fixture
def files(tmp_path, monkeypatch):
    """MNIST and CIFAR-10 of noise: (pixels, labels) of each part, and files of them."""
    chance = np.random.default_rng(1)
    made = {}
    for train, count in ((True, 5), (False, 3)):
        for name, shape in (("mnist", (28, 28)), ("cifar10_subset", (32, 32, 3))):
            pixels = chance.integers(0, 256, (count, *shape), np.uint8)
            made[name, train] = pixels, chance.integers(0, 10, count, np.uint8)
        pixels, labels = made["mnist", train]
        part = "train" if train else "t10k"
        for kind, numbers in (("images-idx3", pixels), ("labels-idx1", labels)):
            head = struct.pack(f">BBBB{numbers.ndim}I", 0, 0, 8, numbers.ndim, *numbers.shape)
            path = tmp_path / f"{part}-{kind}-ubyte"
            path.write_bytes(gzip.compress(head + numbers.tobytes()))
    arrays = {f"{part}_{axis}": made["cifar10_subset", part == "train"][i]
              for part in ("train", "test") for i, axis in enumerate("xy")}  # fmt: skip
    np.savez(tmp_path / "cifar10_10000_2000", classes=np.array(list("abcdefghij")), **arrays)
    (tmp_path / "cifar10_10000_2000.npz").rename(tmp_path / "cifar10_10000_2000")
    monkeypatch.setattr(labelled, "locate", lambda item: tmp_path / item.partition("/")[2])
    return made


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", ["mnist", "cifar10_subset"])
def test_data_sets_are_their_files_in_order_and_on_the_whole_range(files, name, train):
    pixels, labels = files[name, train]
    data = labelled_images(name, train=train)
    assert (len(data), data.of) == (len(pixels), len(pixels))
    assert data.labels.tolist() == labels.tolist()
    assert data.shape == pixels.shape[1:3] and len(data.classes) == 10
    values = data.images.double().numpy().reshape(pixels.shape)
    np.testing.assert_allclose(values, 2 * (pixels / 255) - 1, atol=1e-6)
    np.testing.assert_allclose(data.picture(1).reshape(pixels[1].shape), pixels[1] / 255, atol=1e-6)
    some = labelled_images(name, 2, train=train)
    assert torch.equal(some.images, data.images[:2]) and some.of == data.of
    with pytest.raises(ValueError, match=f"1 to {len(pixels)} for {name}"):
        labelled_images(name, 6, train=train)


def test_what_is_refused():
    with pytest.raises(ValueError, match="no labelled pictures"):
        labelled_images("faces", train=True)
    with pytest.raises(ValueError, match="at least 1"):
        labelled_images("shapes", -3, train=True)
