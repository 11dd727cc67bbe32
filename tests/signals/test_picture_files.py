"""What picture files mean, for each colour space, depth and kind of transparency."""

import colorsys
import struct
import tracemalloc
import zlib

import av
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from inrkit.signals import image, images, pixels

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (6, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 2**16, (6, 7, 4), dtype=np.uint16)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png(path, pixels, *chunks, bits=8, interlaced=False):
    """A PNG of 8 or 16 bits a channel, or of less with one, after the standard's own words."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[-1]]
    steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
             (1, 0, 2, 1)] if interlaced else [(0, 0, 1, 1)]  # fmt: skip
    rows = b""
    for top, left, down, across in steps:
        for row in pixels[top::down, left::across]:
            if bits < 8:
                each = np.unpackbits(row.astype(np.uint8), axis=-1)[:, 8 - bits :].ravel()
                rows += b"\0" + np.packbits(each).tobytes()
            elif row.size:
                rows += b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes()
    size = struct.pack(">IIBBBBB", *pixels.shape[1::-1], bits, colour, 0, 0, interlaced)
    parts = [
        chunk(b"IHDR", size),
        *chunks,
        chunk(b"IDAT", zlib.compress(rows)),
        chunk(b"IEND", b""),
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def transparent(*values):
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def seen(source):
    signal = image(source, grey=False)
    return signal.image()


def white(colour, alpha):
    alpha = np.asarray(alpha, float)[..., None]
    return np.asarray(colour) * alpha + 1 - alpha


def close(found, expected, within=1e-6):
    expected = np.atleast_3d(expected)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=within, rtol=0)


ALPHA = RNG.integers(0, 256, (6, 7), dtype=np.uint8)
INKS = np.repeat(np.repeat(RNG.integers(0, 256, (2, 2, 4), dtype=np.uint8), 16, 0), 16, 1)
PAPER = (1 - INKS[..., :3] / 255) * (1 - INKS[..., 3:] / 255)
HSV = np.array([[colorsys.hsv_to_rgb(*(p / 255)) for p in row] for row in RGB])


@pytest.mark.parametrize(
    ("pixels", "mode", "name", "expected", "within"),
    [
        (INKS, "CMYK", "a.tif", PAPER, 0.006),
        (INKS, "CMYK", "a.jpg", PAPER, 0.03),
        (RGB[..., :2], "LA", "a.png", white(RGB[..., :1] / 255, RGB[..., 1] / 255), 1e-6),
        (RGB[..., :2], "LA", "a.tif", white(RGB[..., :1] / 255, RGB[..., 1] / 255), 1e-6),
        (np.dstack([RGB, ALPHA]), "RGBA", "a.png", white(RGB / 255, ALPHA / 255), 1e-6),
        (np.dstack([RGB, ALPHA]), "RGBA", "a.tif", white(RGB / 255, ALPHA / 255), 1e-6),
        (np.dstack([RGB, ALPHA]), "RGBA", "a.tga", white(RGB / 255, ALPHA / 255), 1e-6),
        (255 * (ALPHA > 127).astype(np.uint8), "1", "a.png", ALPHA > 127, 1e-6),
        (255 * (ALPHA > 127).astype(np.uint8), "1", "a.tif", ALPHA > 127, 1e-6),
        (RGB, "RGB", "a.ppm", RGB / 255, 1e-6),
        (ALPHA, "L", "a.pgm", ALPHA / 255, 1e-6),
        (RGB, "RGB", "a.bmp", RGB / 255, 1e-6),
        (RGB, "RGB", "a.jp2", RGB / 255, 0.01),
        (DEEP[..., 0], "I;16", "a.png", DEEP[..., 0] / 65535, 1e-6),
        (DEEP[..., 0], "I;16", "a.tif", DEEP[..., 0] / 65535, 1e-6),
        (RGB, "HSV", None, HSV, 0.008),
    ],
)
def test_every_mode_of_pillow_means_its_colours(tmp_path, pixels, mode, name, expected, within):
    if mode == "1":
        picture = Image.fromarray(pixels).convert("1")
    else:
        picture = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes())
    close(seen(picture), expected, within)
    if name:
        picture.save(tmp_path / name)
        close(seen(tmp_path / name), expected, within)


def test_palettes_are_looked_up_and_their_transparency_is_laid_over_white(tmp_path):
    index, colours = RNG.integers(0, 4, (6, 7), dtype=np.uint8), RGB[0, :4]
    picture = Image.fromarray(index).convert("P")
    picture = Image.frombytes("P", (7, 6), index.tobytes())
    picture.putpalette(colours.tobytes())
    alphas = np.array([255, 128, 0, 30], np.uint8)
    for name, settings, alpha in (
        ("plain.png", {}, [255] * 4),
        ("some.png", {"transparency": alphas.tobytes()}, alphas),
        ("one.png", {"transparency": 2}, [255, 255, 0, 255]),
        ("one.gif", {"transparency": 2}, [255, 255, 0, 255]),
    ):
        picture.save(tmp_path / name, **settings)
        expected = white(colours[index] / 255, np.asarray(alpha)[index] / 255)
        close(seen(tmp_path / name), expected)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pngs_of_each_depth_and_kind_keep_all_bits(tmp_path, channels, bits, interlaced):
    stored = DEEP[..., :channels] >> (16 - bits)
    write_png(tmp_path / "a.png", stored, bits=bits, interlaced=interlaced)
    share = stored / (2**bits - 1)
    opaque = channels - (channels - 1) % 2
    alpha = share[..., -1] if opaque < channels else np.ones((6, 7))
    close(seen(tmp_path / "a.png"), white(share[..., :opaque], alpha), 1e-7)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_the_transparent_colour_of_a_png_is_white(tmp_path, channels, bits):
    if bits < 8 and channels == 3:
        return
    stored = DEEP[..., :channels] >> (16 - bits)
    between = (stored > 0) & (stored < 2**bits - 1 + (bits == 1))
    key = stored[tuple(np.argwhere(between.all(-1))[0])]  # neither black nor white
    write_png(tmp_path / "a.png", stored, transparent(*key.tolist()), bits=bits)
    clear = (stored == key).all(-1)
    assert clear.any() and not clear.all()
    close(seen(tmp_path / "a.png"), white(stored / (2**bits - 1), ~clear), 1e-7)


def by_ffmpeg(path):
    """A TIFF of 16 bits and LZW, which tifffile cannot write alone."""
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("tiff", rate=1)
        stream.height, stream.width, stream.pix_fmt = 6, 7, "rgb48le"
        stream.options = {"compression_algo": "lzw"}
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(DEEP[..., :3]), format="rgb48le")
        container.mux([*stream.encode(frame), *stream.encode()])


FLOATS = RNG.random((6, 7, 3), dtype=np.float32)
SHARE = DEEP[..., :3] / 65535
TIFFS = {
    "rows": (DEEP[..., :3], {}, SHARE),
    "planes": (np.moveaxis(DEEP[..., :3], -1, 0), {"planarconfig": "separate"}, SHARE),
    "tiles": (DEEP[..., :3], {"tile": (16, 16)}, SHARE),
    "zipped": (DEEP[..., :3], {"compression": "zlib", "predictor": True}, SHARE),
    "big-endian": (DEEP[..., :3], {"byteorder": ">"}, SHARE),
    "alpha": (DEEP, {"extrasamples": ["unassalpha"]}, white(SHARE, DEEP[..., 3] / 65535)),
    "multiplied": (
        np.dstack([(SHARE * DEEP[..., 3:]).astype(np.uint16), DEEP[..., 3]]),
        {"extrasamples": ["assocalpha"]}, white(SHARE, DEEP[..., 3] / 65535),
    ),
    "floats": (FLOATS, {}, FLOATS),
    "doubles": (FLOATS.astype(float), {}, FLOATS),
    "grey floats": (FLOATS[..., 0], {"photometric": "minisblack"}, FLOATS[..., 0]),
    "grey doubles": (FLOATS[..., 0].astype(float), {"photometric": "minisblack"}, FLOATS[..., 0]),
    "white is 0": (DEEP[..., 0], {"photometric": "miniswhite"}, 1 - SHARE[..., 0]),
    "white is 0, 8 bits": (RGB[..., 0], {"photometric": "miniswhite"}, 1 - RGB[..., 0] / 255),
}  # fmt: skip


@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs_keep_all_bits(tmp_path, kind):
    stored, settings, expected = TIFFS[kind]
    tifffile.imwrite(tmp_path / "a.tif", stored, **{"photometric": "rgb", **settings})
    close(seen(tmp_path / "a.tif"), expected, 2e-5 if kind == "multiplied" else 1e-7)


def test_deep_pictures_of_other_formats_keep_all_bits(tmp_path):
    by_ffmpeg(tmp_path / "lzw.tif")
    close(seen(tmp_path / "lzw.tif"), SHARE, 1e-7)
    data = DEEP[..., :3].astype(">u2").tobytes()
    (tmp_path / "a.ppm").write_bytes(b"P6 7 6 65535\n" + data)
    close(seen(tmp_path / "a.ppm"), SHARE, 1e-7)


def icc(space, curves, colourants=()):
    """A colour profile with one gamma or table and primaries of the white D50."""

    def numbers(*values):
        return b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    def curve(values):
        fixed = [round(256 * v) if len(values) == 1 else round(65535 * v) for v in values]
        data = b"curv\0\0\0\0" + struct.pack(f">I{len(fixed)}H", len(fixed), *fixed)
        return data + b"\0" * (-len(data) % 4)

    tags = {b"wtpt": b"XYZ \0\0\0\0" + numbers(0.9642, 1, 0.8249),
            b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"a\0" + b"\0" * 78,
            b"cprt": b"text\0\0\0\0none\0\0\0\0"}  # fmt: skip
    for name, values in zip(b"rgb", colourants, strict=False):
        tags[bytes([name]) + b"XYZ"] = b"XYZ \0\0\0\0" + numbers(*values)
        tags[bytes([name]) + b"TRC"] = curve(curves)
    if not len(colourants):
        tags[b"kTRC"] = curve(curves)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I", 128 + len(table + body)) + b"lcms" + bytes.fromhex("02100000")
    head += b"mntr" + space + b"XYZ " + b"\0" * 12 + b"acsp"
    head = head.ljust(68, b"\0") + numbers(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + table + body


def srgb(linear):
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def from_srgb(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


D50 = {  # columns: red, green, blue
    "sRGB": [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]],
    "Adobe RGB": [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087,
                  0.74457]],
    "Display P3": [[0.51512, 0.29198, 0.1571], [0.2412, 0.69225, 0.06657], [-0.00105, 0.04189,
                   0.78407]],
}  # fmt: skip


def test_lab_is_that_of_the_white_d50(tmp_path):
    """Stored with a and b as signed bytes; colours that sRGB can show."""
    colours = Image.fromarray(RGB // 2 + 60)
    xyz = from_srgb(np.asarray(colours) / 255) @ np.transpose(D50["sRGB"]) / [0.9642, 1, 0.8249]
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lab = np.stack(
        [116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1
    )
    stored = np.rint(lab * [255 / 100, 1, 1]).astype(int).astype(np.uint8)
    picture = Image.frombytes("LAB", (7, 6), stored.tobytes())
    picture.save(tmp_path / "a.tif")
    for source in (picture, tmp_path / "a.tif"):
        close(seen(source), np.asarray(colours) / 255, 0.015)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("name", ["Adobe RGB", "Display P3"])
def test_colour_profiles_lead_to_srgb(tmp_path, name, alpha):
    ramp = np.linspace(0, 1, 4096)
    curve = [2.19921875] if name == "Adobe RGB" else from_srgb(ramp)
    profile = icc(b"RGB ", curve, np.transpose(D50[name]))
    linear = (RGB / 255) ** curve[0] if name == "Adobe RGB" else from_srgb(RGB / 255)
    expected = srgb(linear @ np.transpose(np.linalg.inv(D50["sRGB"]) @ D50[name]))
    stored = Image.fromarray(np.dstack([RGB, ALPHA]) if alpha else RGB)
    if alpha:
        expected = white(expected, ALPHA / 255)
    stored.save(tmp_path / "a.png", icc_profile=profile)
    close(seen(tmp_path / "a.png"), expected, 2.5 / 255)
    assert np.abs(seen(tmp_path / "a.png") - white(RGB / 255, 1 + 0 * ALPHA)).max() > 0.05


def test_a_grey_profile_stays_grey_and_srgbs_changes_nothing(tmp_path):
    picture = Image.fromarray(ALPHA)
    picture.save(tmp_path / "a.png", icc_profile=icc(b"GRAY", [1.4]))
    close(seen(tmp_path / "a.png"), srgb((ALPHA / 255) ** 1.4), 1.5 / 255)
    same = icc(b"RGB ", from_srgb(np.linspace(0, 1, 4096)), np.transpose(D50["sRGB"]))
    Image.fromarray(RGB).save(tmp_path / "b.png", icc_profile=same)
    close(seen(tmp_path / "b.png"), RGB / 255, 1e-6)
    write_png(tmp_path / "c.png", DEEP[..., :3], chunk(b"iCCP", b"a\0\0" + zlib.compress(same)),
              bits=16)  # fmt: skip
    close(seen(tmp_path / "c.png"), SHARE, 1e-7)


def test_profiles_that_cannot_be_followed_are_refused(tmp_path):
    adobe = icc(b"RGB ", [2.2], np.transpose(D50["Adobe RGB"]))
    packed = chunk(b"iCCP", b"a\0\0" + zlib.compress(adobe))
    write_png(tmp_path / "deep.png", DEEP[..., :3], packed, bits=16)
    write_png(tmp_path / "grey.png", DEEP[..., :1], packed, bits=16)
    Image.fromarray(RGB).save(tmp_path / "other.png", icc_profile=icc(b"GRAY", [1.4]))
    Image.fromarray(RGB).save(tmp_path / "broken.png", icc_profile=adobe[:200])
    for name, message in (
        ("deep", "more than 8 bits and a colour profile"),
        ("grey", "more than 8 bits and a colour profile"),
        ("other", "pixels of other.png are RGB, its colour profile is for GRAY"),
        ("broken", "profile of broken.png cannot be read"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            image(tmp_path / f"{name}.png")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("gamma", [1.0, 0.45455])
def test_a_pngs_gamma_leads_to_srgb(tmp_path, gamma):
    for bits, stored in ((8, RGB), (16, DEEP[..., :3])):
        write_png(tmp_path / "a.png", stored, chunk(b"gAMA", struct.pack(">I", round(1e5 * gamma))),
                  bits=bits)  # fmt: skip
        share = stored / (2**bits - 1)
        close(seen(tmp_path / "a.png"), share ** (1 / 2.2) if gamma == 1 else share)


@pytest.mark.parametrize(
    ("code", "refused"), [((1, 16), True), ((9, 18), True), ((12, 13), True), ((1, 13), False)]
)
def test_a_pngs_hdr_is_refused(tmp_path, code, refused):
    write_png(tmp_path / "a.png", RGB, chunk(b"cICP", bytes([*code, 0, 1])))
    if not refused:
        return close(seen(tmp_path / "a.png"), RGB / 255)
    with pytest.raises(ValueError, match="has HDR or wide colours"):
        image(tmp_path / "a.png")


TURNED = {1: lambda p: p, 2: np.fliplr, 3: lambda p: np.rot90(p, 2), 4: np.flipud,
          5: lambda p: np.fliplr(np.rot90(p, -1)), 6: lambda p: np.rot90(p, -1),
          7: lambda p: np.fliplr(np.rot90(p, 1)), 8: lambda p: np.rot90(p, 1)}  # fmt: skip


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_each_of_eight_orientations_is_upright(tmp_path, suffix, orientation):
    corners = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40, np.ones((16, 16), np.uint8))
    exif, path = Image.Exif(), tmp_path / f"a.{suffix}"
    exif[0x0112] = orientation
    settings = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(corners).save(path, exif=exif, **settings)
    within = 0.03 if suffix == "jpg" else 1e-6
    close(seen(path)[..., :1], TURNED[orientation](corners) / 255, within)
    if suffix == "tif" and orientation > 4:
        with pytest.raises(ValueError, match="give its path"):
            image(Image.open(path))
    else:
        close(seen(Image.open(path))[..., :1], TURNED[orientation](corners) / 255, within)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_upright_too(tmp_path, orientation):
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + struct.pack(">HHI", orientation, 0, 0)
    write_png(tmp_path / "a.png", DEEP[..., :3], chunk(b"eXIf", exif), bits=16)
    close(seen(tmp_path / "a.png"), TURNED[orientation](SHARE), 1e-7)
    for name, stored in (("a.tif", DEEP[..., :3]), ("f.tif", FLOATS)):
        tags = [(274, 3, 1, orientation, True)]
        tifffile.imwrite(tmp_path / name, stored, photometric="rgb", extratags=tags)
        expected = SHARE if name == "a.tif" else stored
        close(seen(tmp_path / name), TURNED[orientation](expected), 1e-7)


@pytest.mark.parametrize("suffix", ["gif", "png", "tif", "webp"])
def test_of_several_frames_the_first_is_read(tmp_path, suffix):
    frames = [Image.fromarray(np.full((4, 5), v, np.uint8)) for v in (10, 200, 90)]
    path = tmp_path / f"a.{suffix}"
    settings = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **settings)
    close(seen(path)[..., :1], np.full((4, 5), 10 / 255), 1e-6)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "gif", "bmp", "webp", "jp2", "ppm"])
def test_cut_files_are_refused_in_a_sentence(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"a.{suffix} cannot be read as an image") as caught:
        image(path)
    assert "\n" not in str(caught.value)


def test_what_has_no_range_or_no_reader_is_refused_in_a_sentence(tmp_path):
    numbers = np.arange(42, dtype=np.int32).reshape(6, 7)
    tifffile.imwrite(tmp_path / "whole.tif", numbers)
    tifffile.imwrite(tmp_path / "far.tif", 255 * FLOATS, photometric="rgb")
    tifffile.imwrite(tmp_path / "nan.tif", np.full((6, 7), np.nan, np.float32))
    tifffile.imwrite(tmp_path / "inks.tif", DEEP, photometric="separated")
    tifffile.imwrite(tmp_path / "signed.tif", numbers.astype(np.int8))
    (tmp_path / "empty.png").write_bytes(b"")
    Image.MAX_IMAGE_PIXELS, kept = 100, Image.MAX_IMAGE_PIXELS
    try:
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "bomb.png")
        for name, message in (
            ("whole.tif", "32-bit integers"), ("far.tif", r"lie in \[0, 1\]"),
            ("nan.tif", r"lie in \[0, 1\]"), ("inks.tif", "is CMYK of more than 8 bits"),
            ("signed.tif", "has int8"), ("empty.png", "empty.png cannot be read as an image"),
            ("bomb.png", "cannot be read as an image"), ("", "it is a folder"),
            ("a" * 300, "neither an item"), ("a\0b", "neither an item"),
        ):  # fmt: skip
            with pytest.raises(ValueError, match=message) as caught:
                image(tmp_path / name)
            assert "\n" not in str(caught.value)
    finally:
        Image.MAX_IMAGE_PIXELS = kept


def test_large_pictures_are_floats_a_band_at_a_time(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    coarse = RNG.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((2200, 1500), Image.BICUBIC).save(path, compress_level=1)
    tracemalloc.start()
    small = image(path, size=20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.6 * images.BAND * 8 * 3 + 2**22  # of 54 MB as floats, some times over
    whole = image(path, size=20, grey=False)
    monkeypatch.setattr(images, "BAND", 2**14)
    torch.testing.assert_close(image(path, size=20, grey=False).values, whole.values)
    monkeypatch.setattr(images, "BAND", 2**40)
    torch.testing.assert_close(image(path, size=20).values, small.values)


def test_a_large_jpeg_is_decoded_at_a_fraction(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    coarse = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((515, 700), Image.BICUBIC).save(path, quality=95)
    full = image(path, size=16)
    monkeypatch.setattr(pixels, "LARGE", 1000)
    decoded, load = [], Image.Image.load
    monkeypatch.setattr(Image.Image, "load", lambda p: (decoded.append(p.size), load(p))[1])
    reduced = image(path, size=16)
    assert (65, 88) in decoded and (515, 700) not in decoded
    assert not torch.equal(full.values, reduced.values)
    torch.testing.assert_close(full.values, reduced.values, atol=0.1, rtol=0)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (RGB, RGB / 255),
        (RGB[..., 0], RGB[..., :1] / 255),
        (RGB[..., :2], white(RGB[..., :1] / 255, RGB[..., 1] / 255)),
        (DEEP, white(SHARE, DEEP[..., 3] / 65535)),
        (DEEP[..., :3].astype(">u2"), SHARE),
        (DEEP[::-1, ::-2, :3], SHARE[::-1, ::-2]),
        (FLOATS.astype(">f4"), FLOATS),
        (FLOATS.astype(np.float64), FLOATS),
        (RGB > 127, (RGB > 127) * 1.0),
    ],
)
def test_arrays_and_tensors_mean_the_same(array, expected):
    close(seen(array), expected, 1e-7)
    native = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    tensor = torch.from_numpy(native)
    tensor = tensor.movedim(-1, 0) if tensor.ndim == 3 else tensor
    if tensor.shape[-1] > 4:
        close(seen(tensor), expected, 1e-7)


def test_tensors_of_other_kinds_are_taken_or_refused():
    floats = torch.from_numpy(FLOATS).movedim(-1, 0)
    close(seen(floats.clone().requires_grad_()), FLOATS, 1e-7)
    close(seen(floats.bfloat16()), FLOATS, 0.003)
    close(seen(floats.half()), FLOATS, 0.001)
    for tensor, message in (
        (floats.movedim(0, -1), "channels come first"),
        (floats[:, :, :3], "channels come first"),
        (floats[None], "an image is"),
        (2 * floats - 1, "lie in"),
        (floats.to_sparse(), "no plain numbers"),
        (floats.to("meta"), "no plain numbers"),
        (torch.zeros(3, 6, 7, dtype=torch.int64), "int64"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            image(tensor)
        assert "\n" not in str(caught.value)


def test_pillows_pictures_are_taken_as_they_are(tmp_path):
    picture = Image.fromarray(RGB)
    assert image(picture).name == "picture"
    close(seen(picture), RGB / 255)
    picture.save(tmp_path / "a.png")
    opened = Image.open(tmp_path / "a.png")
    assert image(opened).name == "a.png"
    opened.putpixel((0, 0), (1, 2, 3))  # another than the file's
    np.testing.assert_allclose(seen(opened)[0, 0] * 255, [1, 2, 3], atol=1e-4)
    write_png(tmp_path / "deep.png", DEEP[..., :3], bits=16)
    with pytest.raises(ValueError, match="Pillow keeps 8 bits of deep.png"):
        image(Image.open(tmp_path / "deep.png"))


@pytest.mark.parametrize("source", [None, 5, [[0.5]], b"photo.png", {"a": 1}, object()])
def test_other_sources_are_refused_in_a_sentence(source):
    with pytest.raises(ValueError, match="comes as a name, path, array or tensor, not as"):
        image(source)
