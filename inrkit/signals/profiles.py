"""Colour profiles (ICC): from a picture's own colours to sRGB, perceptual intent."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.createProfile("sRGB")
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}  # a picture's mode, its profile's space

Convert = Callable[[Image.Image], Image.Image]


def to_srgb(mode: str, icc: bytes | None, name: str) -> Convert | None:
    """What takes pictures of a mode to sRGB of 8 bits; None where they are sRGB, or plain grey.

    Without a profile CMYK is :math:`(1 - c)(1 - k)` of each ink, L*a*b* has the white of D50, and
    all else is sRGB.

    Args:
        mode: L, RGB, CMYK or LAB, as Pillow calls them.
        icc: the profile's bytes, if there are any.
        name: for the message.

    Raises:
        ValueError: the profile is damaged, or one of other colours.
    """
    if mode == "LAB":
        return _transform(ImageCms.createProfile("LAB"), mode)
    if not icc:
        return (lambda part: part.convert("RGB")) if mode == "CMYK" else None
    try:
        profile = ImageCms.getOpenProfile(io.BytesIO(icc))
        space = profile.profile.xcolor_space.strip()
        if (mode, space) == ("L", "RGB"):  # of a grey picture, whose three channels are equal
            convert = _transform(profile, "RGB")
            change = lambda part: convert(part.convert("RGB"))  # noqa: E731
        else:
            change = _transform(profile, mode) if SPACES[mode] == space else None
    except (OSError, ImageCms.PyCMSError, TypeError) as error:
        raise ValueError(
            f"the colour profile of {name} cannot be read: save it as sRGB or without a profile"
        ) from error
    if change is None:
        raise ValueError(
            f"the pixels of {name} are {SPACES[mode]}, its colour profile is for {space}: "
            "save it as sRGB or without a profile"
        )
    return None if mode != "CMYK" and _same(change, mode) else change


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> Convert:
    made = ImageCms.buildTransform(profile, SRGB, mode, "RGB")
    return lambda part: ImageCms.applyTransform(part, made)


def _same(change: Convert, mode: str) -> bool:
    """Whether colours of the whole range stay as they are, to one of 255."""
    steps = np.linspace(0, 255, 256 if mode == "L" else 9).round().astype(np.uint8)
    axes = [steps] * (1 if mode == "L" else 3)
    colours = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(1, -1, len(axes))
    probe = Image.fromarray(colours[..., 0] if mode == "L" else colours)
    moved = np.asarray(change(probe), int) - np.asarray(probe.convert("RGB"), int)
    return bool(np.abs(moved).max() <= 1)
