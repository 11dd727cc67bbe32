"""Pictures with labels, for classifiers: data sets, and shapes that are drawn here."""

import gzip
import hashlib
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inrkit.signals import files
from inrkit.signals.grids import grid
from inrkit.signals.registry import locate

DIGITS = tuple("0123456789")
DRAWN = ("disc", "ring", "square", "triangle", "cross", "bar")
DRAWN_SIZE = 16


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Pictures of one size, each with the number of its class.

    Attributes:
        name: of the file in the registry of data, or of the part that is drawn.
        images: ``(N, n, c)`` in [-1, 1].
        labels: ``(N,)``, from 0.
        shape: (rows, columns), whose product is n.
        classes: their names.
        sha256: of the data.
        of: how many pictures the data set has.
    """

    name: str
    images: Tensor
    labels: Tensor
    shape: tuple[int, int]
    classes: tuple[str, ...]
    sha256: str
    of: int

    def __len__(self) -> int:
        return len(self.images)

    @property
    def coords(self) -> Tensor:
        """Of the pixels, ``(n, 2)`` on [-1, 1]."""
        return grid(self.shape)

    def first(self, n: int) -> "LabelledImages":
        """The first n pictures, or all where there are fewer."""
        return replace(self, images=self.images[:n].clone(), labels=self.labels[:n].clone())

    def picture(self, index: int) -> np.ndarray:
        """One picture as an array ``(rows, columns, c)`` in [0, 1]."""
        pixels = (self.images[index].double().numpy() + 1) / 2
        return np.clip(pixels, 0, 1).reshape(*self.shape, -1)


def labelled_images(name: str, n_items: int | None = None, *, train: bool) -> LabelledImages:
    """The first ``n_items`` pictures of a data set's training or test part.

    Args:
        name: "mnist", "cifar10_subset", or "shapes": six shapes of any size, place and direction,
            drawn here, the same ones each time.
        n_items: all unless given; of "shapes", 1,000.
        train: which part.

    Raises:
        ValueError: the data set is unknown, not here, or smaller than ``n_items``.
    """
    if name not in READERS:
        raise ValueError(f"there are no labelled pictures {name!r}; known are {', '.join(READERS)}")
    item, pixels, labels, classes, sha256 = READERS[name](n_items, train)
    available = len(pixels)
    if n_items is not None and not 1 <= n_items <= available:
        raise ValueError(f"n_items lies in 1 to {available} for {name}, got {n_items}")
    pixels, labels = pixels[:n_items], labels[:n_items]
    values = torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1)
    values = values.reshape(len(pixels), pixels.shape[1] * pixels.shape[2], -1)
    return LabelledImages(
        item, values, torch.from_numpy(labels.astype(np.int64)), pixels.shape[1:3], classes,
        sha256, available,
    )  # fmt: skip


def _mnist(n_items: int | None, train: bool) -> tuple:
    part = "train" if train else "t10k"
    item = f"mnist/{part}-images-idx3-ubyte"
    path, labels = locate(item), read_idx(locate(f"mnist/{part}-labels-idx1-ubyte"))
    return item, read_idx(path), labels, DIGITS, files.sha256(path)


def read_idx(path: Path) -> np.ndarray:
    """Bytes in the format of MNIST, compressed: two zeros, type, number of axes, sizes, numbers.

    Raises:
        ValueError: the file is something else.
    """
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error):
        data = b""
    axes = data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else 0
    shape = np.frombuffer(data[4 : 4 + 4 * axes], ">u4") if len(data) >= 4 + 4 * axes else ()
    if not axes or len(data) != 4 + 4 * axes + math.prod(map(int, shape)):
        raise ValueError(f"{path} is not a file of bytes in MNIST's format")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _cifar(n_items: int | None, train: bool) -> tuple:
    item, part = "cifar10_subset/cifar10_10000_2000", "train" if train else "test"
    path = locate(item)
    with np.load(path) as arrays:
        pixels, labels = arrays[f"{part}_x"], arrays[f"{part}_y"]
        return item, pixels, labels, tuple(map(str, arrays["classes"])), files.sha256(path)


def _shapes(n_items: int | None, train: bool) -> tuple:
    count = n_items or 1000
    if count < 1:
        raise ValueError(f"n_items is at least 1 for shapes, got {n_items}")
    chance = np.random.default_rng(1 if train else 2)
    labels = np.arange(count) % len(DRAWN)
    pixels = np.stack([_draw(DRAWN[label], chance) for label in labels])
    sha256 = hashlib.sha256(pixels.tobytes() + labels.tobytes()).hexdigest()
    return f"shapes, {'train' if train else 'test'}", pixels, labels, DRAWN, sha256


def _draw(kind: str, chance: np.random.Generator) -> np.ndarray:
    """One shape with soft edges, light on dark, 0 to 255."""
    row, column = np.meshgrid(*[np.linspace(-1, 1, DRAWN_SIZE)] * 2, indexing="ij")
    angle, radius = chance.uniform(0, 2 * np.pi), chance.uniform(0.4, 0.6)
    x = row - chance.uniform(-0.25, 0.25)
    y = column - chance.uniform(-0.25, 0.25)
    x, y = np.cos(angle) * x - np.sin(angle) * y, np.sin(angle) * x + np.cos(angle) * y
    distance = _distance(kind, x, y, radius)
    width = 1.2 / DRAWN_SIZE
    light, dark = chance.uniform(0.6, 1.0), chance.uniform(0.0, 0.25)
    value = dark + (light - dark) * 0.5 * (1 - np.tanh(distance / width))
    return np.rint(255 * value).astype(np.uint8)


def _distance(kind: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Below zero inside; near the outline about the distance to it."""
    length = np.hypot(x, y)
    thin = 0.3 * radius
    box = np.maximum(np.abs(x), np.abs(y))
    bars = [np.maximum(np.abs(a) - 1.2 * radius, np.abs(b) - thin) for a, b in ((x, y), (y, x))]
    corners = [x * np.cos(t) + y * np.sin(t) for t in (0, 2 * np.pi / 3, 4 * np.pi / 3)]
    return {
        "disc": length - radius,
        "ring": np.abs(length - radius) - 0.7 * thin,
        "square": box - 0.85 * radius,
        "triangle": np.max(corners, axis=0) - 0.6 * radius,
        "cross": np.minimum(*bars),
        "bar": bars[0],
    }[kind]


READERS: dict[str, Callable[[int | None, bool], tuple]] = {
    "mnist": _mnist,
    "cifar10_subset": _cifar,
    "shapes": _shapes,
}
