r"""Photographed scenes: pictures and cameras in the form of Blender's set and of nerfstudio.

A file ``transforms_<split>.json``, or one ``transforms.json`` for all, has for each picture
(``frames``) its ``file_path``, with or without a suffix, and ``transform_matrix``, the camera's
pose in the world; the camera looks along its own -z, x to the right and y up. The focal length in
pixels is

.. math:: f = \frac{w}{2 \tan(\alpha / 2)}

with ``camera_angle_x`` for :math:`\alpha` and the width w, or is given as ``fl_x`` and ``fl_y``,
with the principal point ``cx`` and ``cy``; a frame's own go before those of all.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import pi, tan
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import torch
from torch import Tensor

from inrkit.signals.cameras import Camera, Views, views
from inrkit.signals.images import image
from inrkit.signals.registry import DataError, Item, items, locate, opened, sets

SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".webp", ".PNG", ".JPG", ".JPEG")
EVERY = 8  # picture of one file for all is a test's, as in LLFF's scenes, where it names none
PINHOLE = {"PINHOLE", "SIMPLE_PINHOLE", "OPENCV"}
LARGEST = 1e6  # number of pixels that a camera's own numbers are below
DISTORTIONS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")


@dataclass(frozen=True)
class _Shot:
    """A picture that is there, and what the file says of its camera."""

    frame: dict
    load: Callable[[], np.ndarray]


def blender_views(
    source: str | Path, split: str, n: int, *, size: int | None = None, scale: float = 2 / 3
) -> Views:
    r"""Views of a scene of the Blender set (Mildenhall et al. 2020), or of one's own, over white.

    Args:
        source: data set whose items are ``<set>/<split>/r_<i>`` and ``<set>/transforms_<split>``;
            or a folder with ``transforms_<split>.json`` or ``transforms.json``, or such a file. Of
            one file for all, "test" are the frames that its ``test_filenames`` names, or where it
            names none every eighth, and "train" the others.
        split: "train" or "test".
        n: number of views, evenly spread over those that are there.
        size: pixels across, by averaging whole pixels; the file's own by default.
        scale: factor on positions, such that the scene lies in :math:`[-1, 1]^3`.

    Raises:
        DataError: the data is not here, or there are fewer views.
        ValueError: a file is not of this form, a picture is missing, or a camera's lens distorts.
    """
    if not 1 / LARGEST < scale < LARGEST:
        raise ValueError(f"scale is a factor above 0, got {scale}")
    own = str(source) not in sets()
    info, shots = _own(Path(source), split) if own else _registered(str(source), split)
    if n not in range(1, len(shots) + 1):
        raise DataError(f"n lies in 1 to {len(shots)} for {source}/{split}, got {n}")
    cameras, pictures = [], []
    for shot in [shots[round(i)] for i in np.linspace(0, len(shots) - 1, n)]:
        whole = shot.load()
        picture = whole if size is None else _reduced(whole, size)
        cameras.append(_camera({**info, **shot.frame}, whole.shape, picture.shape, scale))
        pictures.append(torch.from_numpy(picture))
    return views(Path(source).stem if own else str(source), cameras, pictures)


def _registered(set_name: str, split: str) -> tuple[dict, list[_Shot]]:
    info = json.loads(locate(f"{set_name}/transforms_{split}").read_text())
    frames = {Path(f["file_path"]).name: f for f in info["frames"]}
    there = [item for item in items(set_name) if item.name.startswith(f"{set_name}/{split}/")]
    there.sort(key=_number)
    return info, [
        _Shot(
            frames[item.name.rpartition("/")[2]],
            partial(_registered_picture, item.name),
        )
        for item in there
    ]


def _number(item: Item) -> int:
    return int(item.name.rpartition("_")[2])


def _registered_picture(name: str) -> np.ndarray:
    pixels = imageio.imread(locate(name))
    colour, alpha = pixels[..., :3] / 255, pixels[..., 3:] / 255
    return colour * alpha + 1 - alpha


def _own(source: Path, split: str) -> tuple[dict, list[_Shot]]:
    """What a file of one's own says, and those of its pictures that are of the split."""
    if split not in ("train", "test"):
        raise ValueError(f'split is "train" or "test", got {split!r}')
    named = [source / f"transforms_{split}.json", source / "transforms.json"]
    if not source.exists():
        raise DataError(
            f"{source} is neither a data set ({', '.join(sets())}) nor a folder with "
            f"{named[0].name} or transforms.json"
        )
    found = next((path for path in named if path.is_file()), None) if source.is_dir() else source
    if found is None:
        raise DataError(f"{source} holds neither {named[0].name} nor transforms.json")
    opened(found, "a scene's file")
    try:
        info = json.loads(found.read_text(encoding="utf-8"))
        frames = sorted(info.pop("frames"), key=lambda frame: frame["file_path"])
        names = [str(frame["file_path"]) for frame in frames]
        test = set(map(str, info.get("test_filenames") or names[::EVERY]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{found} is no file of a scene: it is JSON with frames, each with a file_path and a "
            "transform_matrix"
        ) from error
    if found.stem == "transforms":
        frames = [f for f in frames if (str(f["file_path"]) in test) == (split == "test")]
    return info, [
        _Shot(frame, partial(_read, _picture(found.parent, frame["file_path"]))) for frame in frames
    ]


def _picture(folder: Path, name: str) -> Path:
    """Where a picture lies, whose name may lack its suffix."""
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    raise DataError(f"there is no picture {folder / name}, nor with .png or .jpg after it")


def _read(path: Path) -> np.ndarray:
    signal = image(path, grey=False)
    picture = signal.image()
    return picture if picture.shape[-1] == 3 else np.repeat(picture[..., :1], 3, axis=-1)


def _reduced(picture: np.ndarray, size: int) -> np.ndarray:
    height, width = picture.shape[:2]
    if size < 1 or size != int(size) or width % size or height % (width // size):
        raise ValueError(f"size divides the picture's {width} pixels, got {size}")
    factor = width // size
    return picture.reshape(height // factor, factor, int(size), factor, 3).mean((1, 3))


def _camera(info: dict, whole: tuple, shape: tuple, scale: float) -> Camera:
    """The camera of a picture of a shape, which was ``whole`` before it was reduced."""
    lens = str(info.get("camera_model", "PINHOLE"))
    bent = [name for name in DISTORTIONS if info.get(name)]
    if lens not in PINHOLE or bent:
        raise ValueError(
            f"the lens of {info['file_path']} distorts ({', '.join(bent) or lens}): rectify the "
            "pictures first, as with COLMAP's image_undistorter"
        )
    height, width = shape[:2]
    fx, fy, cx, cy = _intrinsics(info, whole)
    across, down = width / whole[1], height / whole[0]
    centre = (cx * across, cy * down)
    return Camera(
        _pose(info, scale),
        width / 2 / tan(info["camera_angle_x"] / 2) if fx is None else fx * across,
        (height, width),
        None if fy is None or fy == fx else fy * down,
        None if centre == (width / 2, height / 2) else centre,
    )


def _intrinsics(info: dict, whole: tuple) -> tuple[float | None, float | None, float, float]:
    """Focal lengths (None where an angle says it, or for the same) and the principal point."""
    name, (height, width) = info["file_path"], whole[:2]
    said = [x for x in ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x") if x in info]
    least = {"cx": -LARGEST, "cy": -LARGEST}
    bad = [x for x in said if not (_finite(info[x]) and info[x] > least.get(x, 1 / LARGEST))]
    if bad or ("fl_x" not in info and not 0 < info.get("camera_angle_x", 0) < pi):
        raise ValueError(
            f"the camera of {name} has no focal length: give camera_angle_x, between 0 and pi, or "
            f"fl_x, as numbers{' (' + ', '.join(bad) + ')' if bad else ''}"
        )
    w, h = info.get("w", width), info.get("h", height)
    if abs(w * height - h * width) > 0.01 * w * height:
        raise ValueError(
            f"{name} is {width} x {height} pixels, another shape than its camera's {w:g} x {h:g}"
        )
    across, down = width / w, height / h  # a picture that is smaller than what was calibrated
    fx = info["fl_x"] * across if "fl_x" in info else None
    fy = info["fl_y"] * down if "fl_y" in info else None
    cx, cy = info.get("cx", w / 2) * across, info.get("cy", h / 2) * down
    if fy is not None and fx is None:
        fx = width / 2 / tan(info["camera_angle_x"] / 2)
    return fx, fy, cx, cy


def _finite(value) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and abs(value) < LARGEST  # and not where it is no number


def _pose(info: dict, scale: float) -> Tensor:
    try:
        pose = torch.tensor(info["transform_matrix"], dtype=torch.float32)[:3]
    except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"{info['file_path']} has no transform_matrix of numbers") from error
    turn = pose[:, :3] if pose.shape == (3, 4) else torch.zeros(3, 3)
    if not ((pose.abs() < LARGEST).all() and torch.dist(turn @ turn.mT, torch.eye(3)) < 1e-2):
        raise ValueError(
            f"transform_matrix of {info['file_path']} is no pose: it has three or four rows of "
            "four, a rotation and a position"
        )
    if torch.linalg.det(turn) < 0:
        raise ValueError(f"transform_matrix of {info['file_path']} mirrors: it is no rotation")
    pose[:, 3] *= scale
    return pose
