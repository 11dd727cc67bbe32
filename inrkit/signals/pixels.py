"""Pixels of pictures as sRGB over white in [0, 1], a band of rows at a time."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from inrkit.signals.given import described
from inrkit.signals.profiles import to_srgb

LARGE = 2**24  # pixels above which a JPEG is decoded at a fraction of its size
HELP = "save it as a PNG, JPEG or TIFF of RGB or grey"
GREY = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N", "P")
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how one begins
BITS_PER_SAMPLE, PHOTOMETRIC, ORIENTATION = 258, 262, 274  # a TIFF's tags
EXTRA_SAMPLES, SAMPLE_FORMAT = 338, 339
TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {  # EXIF orientation: how it is shown
    2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
    5: lambda p: p.swapaxes(0, 1), 6: lambda p: p.swapaxes(0, 1)[:, ::-1],
    7: lambda p: p.swapaxes(0, 1)[::-1, ::-1], 8: lambda p: p.swapaxes(0, 1)[::-1],
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Pixels:
    """A picture that is not yet floats.

    Attributes:
        shape: rows and columns.
        stored: of rows and columns, two slices, what the picture holds there.
        shown: of that, ``(h, w, 1)`` or ``(h, w, 3)`` in [0, 1].
    """

    shape: tuple[int, int]
    stored: Callable[[slice, slice], object]
    shown: Callable[[object], np.ndarray]

    def __call__(self, rows: slice, columns: slice) -> np.ndarray:
        """The pixels of these rows and columns."""
        return self.shown(self.stored(rows, columns))


def of_array(
    pixels: np.ndarray, name: str, *, power: float = 1.0, multiplied: bool = False
) -> Pixels:
    """Pixels of ``(H, W)`` or ``(H, W, C)`` numbers, C of grey, grey + alpha, RGB or RGBA.

    Args:
        pixels: uint8, uint16, bool, or floats in [0, 1].
        name: for the message.
        power: that makes colours sRGB.
        multiplied: whether colours are already multiplied by alpha.

    Raises:
        ValueError: they are something else.
    """
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 2, 3, 4) or pixels.size == 0:
        raise ValueError(
            f"an image is (H, W) or (H, W, C) with 1 to 4 channels (grey, grey + alpha, RGB, RGBA) "
            f"last, and at least one pixel, {name} is {pixels.shape}"
        )
    kind = pixels.dtype.kind
    if kind not in "bf" and not (kind == "u" and pixels.dtype.itemsize <= 2):
        raise ValueError(f"pixels are uint8, uint16, floats or bool, {name} has {pixels.dtype}")
    if kind == "f" and not (pixels.min() >= 0 and pixels.max() <= 1):  # false where one is NaN
        raise ValueError(
            f"floating-point pixels lie in [0, 1], those of {name} span "
            f"{pixels.min():g} to {pixels.max():g}"
        )
    top = np.iinfo(pixels.dtype).max if kind == "u" else 1

    def shown(part: np.ndarray) -> np.ndarray:
        part = part.astype(np.float64) * (1 / top)
        opaque = part.shape[-1] - (part.shape[-1] - 1) % 2
        return over_white(part[..., :opaque] ** power, part[..., opaque:], multiplied)

    return Pixels(pixels.shape[:2], lambda rows, columns: pixels[rows, columns], shown)


def over_white(colour: np.ndarray, alpha: np.ndarray, multiplied: bool = False) -> np.ndarray:
    r""":math:`\alpha c + 1 - \alpha`; opaque where alpha has no channel."""
    if alpha.shape[-1] == 0:
        return colour
    return np.minimum((colour if multiplied else colour * alpha) + 1 - alpha, 1)


def of_file(path: Path, name: str, *, side: int | None = None, managed: bool = True) -> Pixels:
    """Pixels of a picture file; see :func:`inrkit.signals.image` for what they mean.

    Args:
        path: where it lies.
        name: for the message.
        side: the shorter side that will be needed; a large JPEG is decoded smaller for it.
        managed: whether its colour profile counts.

    Raises:
        ValueError: it is not a picture, or one that is refused.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of size; what is far too large is an error
            with Image.open(path) as picture:
                deep = picture.mode not in GREY and _bits(picture, path) > 8
                if side and picture.width * picture.height > LARGE and not deep:
                    picture.draft(None, (4 * side, 4 * side))
                top = _top(picture)
                orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
                if _on_its_side(picture):
                    raise UnidentifiedImageError("a TIFF stored on its side")
                signed = 2 in np.atleast_1d(getattr(picture, "tag_v2", {}).get(SAMPLE_FORMAT, 1))
                if signed and picture.mode in ("L", "LA", "RGB", "RGBA"):
                    raise UnidentifiedImageError("a TIFF of signed bytes")
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)
    except UnidentifiedImageError as error:
        with path.open("rb") as stream:
            kind = stream.read(4)
        if kind in TIFF:
            return _of_tiff(path, name, error)
        raise _unread(path, error) from error
    except Exception as error:  # Pillow's plugins raise nearly anything on a damaged file
        raise _unread(path, error) from error
    _coded(picture, path)
    if deep:
        return _of_deep(path, picture, name, orientation)
    return of_picture(picture, name, top=top, managed=managed)


def of_object(picture: Image.Image, name: str) -> tuple[Pixels, bytes]:
    """Pixels of a picture that was opened by the caller, and its bytes as Pillow holds them.

    Raises:
        ValueError: it is damaged or refused.
    """
    if getattr(picture, "tile", ()):  # not yet decoded
        path = Path(getattr(picture, "filename", "") or "")
        if picture.mode not in GREY and _bits(picture, path) > 8:
            raise ValueError(f"Pillow keeps 8 bits of {name}, which has more: give its path")
        if _on_its_side(picture):
            raise ValueError(f"Pillow misreads {name}, a TIFF stored on its side: give its path")
    try:
        top = _top(picture)
        picture.load()
        shown = ImageOps.exif_transpose(picture)
    except Exception as error:  # as above
        raise _unread(Path(name), error) from error
    if 0 in shown.size:
        raise ValueError(f"an image has at least one pixel, {name} is {shown.size}")
    shown.format = picture.format
    return of_picture(shown, name, top=top), picture.tobytes()


def _unread(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} cannot be read as an image (PNG, JPEG, ...), {HELP}: {described(error)}"
    )


def _bits(picture: Image.Image, path: Path) -> int:
    """Of each channel of a picture in colour, as stored."""
    if picture.format == "JPEG2000" and path.is_file():
        with path.open("rb") as stream:
            size = stream.read(2**16).partition(b"\xff\x4f\xff\x51")[2]  # its marker SIZ
        return (size[38] & 127) + 1 if len(size) > 38 else 8
    stored = picture.tile[0][3] if picture.tile else ""  # as in ("RGB;16B", 0, 1)
    if picture.format == "PPM" and isinstance(stored, tuple):
        return 16 if stored[-1] != 255 else 8
    bits = getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, 16 if ";16" in str(stored) else 8)
    return max(np.atleast_1d(bits))


def _coded(picture: Image.Image, path: Path) -> None:
    """Refuse a PNG whose cICP chunk (ITU-T H.273) has HDR, or a gamut without a profile."""
    if picture.format != "PNG":
        return
    with path.open("rb") as stream:
        code = stream.read(2**12).partition(b"IDAT")[0].partition(b"cICP")[2]
    primaries, transfer = code[:2] if len(code) > 1 else (1, 13)
    if transfer in (8, 16, 18) or (primaries != 1 and "icc_profile" not in picture.info):
        raise ValueError(f"{path} has HDR or wide colours by its cICP chunk: save it as sRGB")


def _on_its_side(picture: Image.Image) -> bool:
    """Whether it is an uncompressed TIFF turned by a quarter, whose rows Pillow mixes up."""
    turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    return turned and picture.format == "TIFF" and picture.tile[0][0] == "raw"


def _top(picture: Image.Image) -> int:
    """The largest number of a PNG's grey, in which it says which grey is transparent."""
    tile = getattr(picture, "tile", ())
    few = str(tile[0][3]).partition("L;")[2] if tile else ""
    return 1 if picture.mode == "1" else {"2": 3, "4": 15}.get(few, 255)


def _of_deep(path: Path, picture: Image.Image, name: str, orientation: int) -> Pixels:
    """Colour of more than 8 bits, of which Pillow keeps 8: by other readers, and both agree."""
    if picture.mode not in ("RGB", "RGBA", "RGBX"):
        raise ValueError(f"{name} is {picture.mode} of more than 8 bits a channel: {HELP}")
    _unmanaged(picture.info.get("icc_profile"), "RGB", name)
    try:
        deep, exact = _by_tifffile(path) if picture.format == "TIFF" else _by_ffmpeg(path)
    except Exception as error:  # as above
        raise _unread(path, error) from error
    deep = TURNS.get(orientation, lambda p: p)(deep)
    kept = np.asarray(picture, np.int32)[..., :1]
    if not exact and (
        deep.shape[:2] != kept.shape[:2] or np.abs(deep[..., :1] // 257 - kept).max() > 1
    ):
        raise ValueError(f"{name} of 16 bits is read differently by two libraries: {HELP}")
    over = 1 in np.atleast_1d(getattr(picture, "tag_v2", {}).get(EXTRA_SAMPLES, 2))
    return of_array(deep, name, power=_power(picture), multiplied=over)


def _by_tifffile(path: Path) -> tuple[np.ndarray, bool]:
    """Channels as stored, and that this is certain; by FFmpeg what needs a further package."""
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[0]
        try:
            pixels = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            return _by_ffmpeg(path)
        return np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels, True


def _by_ffmpeg(path: Path) -> tuple[np.ndarray, bool]:
    """Channels of 16 bits, and that they are to be checked: tiles of a TIFF are misread."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    if not frame.format.name.startswith("ya16"):
        return frame.to_ndarray(), False
    rows = np.frombuffer(frame.planes[0], ">u2" if frame.format.is_big_endian else "<u2")
    return rows.reshape(frame.height, -1)[:, : 2 * frame.width].reshape(
        frame.height, frame.width, 2
    ).astype(np.uint16), False


def _of_tiff(path: Path, name: str, error: Exception) -> Pixels:
    """A TIFF of what Pillow does not know, such as floats in colour."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            pixels, icc, tags = page.asarray(), page.iccprofile, page.tags
            plain = page.photometric in (1, 2) and page.extrasamples in ((), (2,))
            orientation = tags[ORIENTATION].value if ORIENTATION in tags else 1
            pixels = np.moveaxis(pixels, 0, -1) if page.axes == "SYX" else pixels
    except Exception as other:  # as above
        raise _unread(path, other) from error
    if not plain:
        raise _unread(path, error) from error
    _unmanaged(icc, "L" if pixels.ndim == 2 else "RGB", name)
    return of_array(TURNS.get(orientation, lambda p: p)(pixels), name)


def of_picture(picture: Image.Image, name: str, *, top: int = 255, managed: bool = True) -> Pixels:
    """Pixels of a picture that Pillow holds.

    Args:
        picture: of any of Pillow's modes.
        name: for the message.
        top: the number that stands for 255 in a transparent grey.
        managed: whether its colour profile counts.

    Raises:
        ValueError: its numbers have no known range, or its colours are refused.
    """
    if picture.mode in ("I", "F") or picture.mode.startswith("I;"):
        return of_array(_numbers(picture, name), name, power=_power(picture))
    first = _plain(picture.crop((0, 0, 1, 1)), 255)[0]
    convert = to_srgb(first.mode, managed and picture.info.get("icc_profile"), name)
    power = _power(picture)

    def stored(rows: slice, columns: slice) -> Image.Image:
        return picture.crop((columns.start, rows.start, columns.stop, rows.stop))

    def shown(part: Image.Image) -> np.ndarray:
        part, alpha = _plain(part, top)
        colour = np.atleast_3d(np.asarray(convert(part) if convert else part)) * (1 / 255)
        if part.mode == "L":
            colour = colour[..., :1]  # of three that are equal
        return over_white(colour**power, alpha * (1 / 255))

    return Pixels((picture.height, picture.width), stored, shown)


def _plain(part: Image.Image, top: int) -> tuple[Image.Image, np.ndarray]:
    """As L, RGB, CMYK or LAB, and alpha ``(h, w, 1)``, or ``(h, w, 0)`` where it is opaque."""
    key = part.info.get("transparency")
    opaque = np.empty((part.height, part.width, 0))
    if part.mode in ("1", "L", "RGB") and key is not None:
        part = part.convert("L") if part.mode == "1" else part
        pixels = np.atleast_3d(np.asarray(part))
        scaled = np.asarray(key) * 255 // top
        return part, 255.0 * (pixels != scaled).any(-1, keepdims=True)
    if part.mode in ("1", "L"):
        return part.convert("L"), opaque
    if part.mode == "P":
        part = part.convert("RGBA" if part.has_transparency_data else "RGB")
    if part.mode in ("LA", "La"):
        grey, alpha = part.convert("LA").split()
        return grey, np.asarray(alpha, float)[..., None]
    if part.mode in ("PA", "RGBA", "RGBa"):
        *colour, alpha = part.convert("RGBA").split()
        return Image.merge("RGB", colour), np.asarray(alpha, float)[..., None]
    return part if part.mode in ("RGB", "CMYK", "LAB") else part.convert("RGB"), opaque


def _power(picture: Image.Image) -> float:
    """Power that makes a PNG's values sRGB, by its gAMA chunk, where no profile says more."""
    info = picture.info
    if "icc_profile" in info or "srgb" in info or not info.get("gamma", 0) > 0:
        return 1.0
    power = 1 / (2.2 * info["gamma"])
    return power if abs(power - 1) > 0.05 else 1.0


def _numbers(picture: Image.Image, name: str) -> np.ndarray:
    """Grey of more than 8 bits: uint16, floats, or grey and alpha where a key is transparent."""
    pixels, tags = np.asarray(picture), getattr(picture, "tag_v2", {})
    if picture.mode == "I" and picture.format not in ("PNG", "PPM"):
        raise ValueError(
            f"{name} holds 32-bit integers, whose black and white are not known: save it as 16-bit "
            "grey or as floats in [0, 1]"
        )
    _unmanaged(picture.info.get("icc_profile"), "L", name)
    if picture.mode == "F":
        return pixels
    bits = max(np.atleast_1d(tags.get(BITS_PER_SAMPLE, 16)))
    pixels = pixels.astype(np.float64) / (2**bits - 1)
    pixels = 1 - pixels if tags.get(PHOTOMETRIC) == 0 else pixels  # black and white are exchanged
    key = picture.info.get("transparency")
    if key is None:
        return pixels
    return np.stack([pixels, np.asarray(picture) != key], axis=-1)


def _unmanaged(icc: bytes | None, mode: str, name: str) -> None:
    """Refuse more than 8 bits with a colour profile other than sRGB's, which would lose them."""
    if to_srgb(mode, icc, name):
        raise ValueError(
            f"{name} has more than 8 bits and a colour profile other than sRGB's: convert it to "
            "sRGB, or save it with 8 bits"
        )
