import hashlib

import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage.color import rgb2gray
from skimage.transform import resize

from inrkit.signals import DataError, dataset, image, locate


def pixels_of(signal):
    return np.rint(signal.image() * 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["camera", "coins", "text", "brick"])
def test_embedded_grey_images_are_scikit_images_own(name):
    np.testing.assert_array_equal(pixels_of(image(name))[..., 0], getattr(skimage.data, name)())


def test_colour_luminance_and_channel():
    cat = skimage.data.cat()
    np.testing.assert_array_equal(pixels_of(image("cat", grey=False)), cat)
    for i in range(3):
        np.testing.assert_array_equal(pixels_of(image("cat", channel=i))[..., 0], cat[..., i])
    np.testing.assert_allclose(image("cat").image()[..., 0], rgb2gray(cat), atol=1e-6)


def test_every_embedded_image_opens_with_all_values_in_range():
    for name in dataset("skimage"):
        signal = image(name, size=16)
        assert signal.shape == (16, 16)
        assert signal.values.abs().max() <= 1
        assert signal.sha256 == hashlib.sha256(locate(name).read_bytes()).hexdigest()


def test_size_cuts_the_central_square_and_averages_its_pixels():
    square = skimage.data.cat()[:, 75:375]  # 300 x 451
    expected = resize(square, (50, 50), order=1, anti_aliasing=True)
    resized = image("cat", size=50, grey=False).image()
    assert np.abs(resized - expected).mean() < 0.01  # another anti-aliasing filter, one picture


@pytest.mark.parametrize("shape", [(5, 12), (12, 5), (4, 9), (9, 4), (6, 6)])
def test_the_square_is_cut_from_the_middle_of_wide_and_of_tall_pictures(shape):
    """Row and column numbers as pixels: a plane, whose middle is that of the picture."""
    side = min(shape)
    rows, columns = np.indices(shape) / 16
    for pixels, n in ((rows, shape[0]), (columns, shape[1])):
        found = 16 * image(pixels, size=side).image().reshape(side, side)
        assert abs(found.mean() - (n - 1) / 2) <= 0.5 + 1e-5  # half a pixel where a rest is odd
        assert np.ptp(found) == pytest.approx(side - 1, abs=1e-5)


def test_a_picture_is_known_by_its_item_its_file_or_as_an_array(tmp_path):
    path = tmp_path / "some folder" / "own.png"
    path.parent.mkdir()
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    Image.fromarray(pixels).save(path)
    for source, name in (("camera", "camera"), (path, "own.png"), (str(path), "own.png")):
        assert image(source).name == name
    array = image(pixels)
    assert array.name == "array"
    assert array.sha256 == hashlib.sha256(pixels.tobytes()).hexdigest()
    assert image(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_resizing_by_halves_keeps_a_plane():
    plane = np.add.outer(np.arange(8), np.arange(8)) / 20
    halved = image(plane, size=4).image()[..., 0]
    expected = plane.reshape(4, 2, 4, 2).mean((1, 3))
    np.testing.assert_allclose(halved[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, bool])
def test_integers_span_the_whole_range(dtype):
    top = 1 if dtype is bool else np.iinfo(dtype).max
    values = image(np.array([[0, top]], dtype=dtype)).values
    assert values.flatten().tolist() == [-1, 1]


def test_transparency_is_laid_over_white():
    assert image(np.zeros((1, 1, 4), np.uint8), grey=False).values.tolist() == [[1, 1, 1]]


def test_files_are_read_as_their_exif_turns_them(tmp_path):
    path = tmp_path / "turned.png"
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    Image.fromarray(pixels).save(path, exif=exif)
    np.testing.assert_array_equal(pixels_of(image(path))[..., 0], np.rot90(pixels, -1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 3), np.nan), "lie in"),
        (np.full((3, 3), 255.0), "span 255 to 255"),
        (np.zeros((0, 3)), "at least one pixel"),
        (np.zeros(4), "an image is"),
        (np.zeros((3, 3, 5)), "an image is"),
        (np.zeros((2, 2), complex), "complex128"),
    ],
)
def test_what_is_not_an_image_is_refused_in_a_sentence(array, message):
    with pytest.raises(ValueError, match=message) as caught:
        image(array)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere.png is neither"):
        image("nowhere.png")
    path = tmp_path / "notes.txt"
    path.write_text("no pixels")
    with pytest.raises(ValueError, match="notes.txt cannot be read as an image"):
        image(path)


def test_bad_sizes_and_channels_are_refused():
    with pytest.raises(ValueError, match="at least 1"):
        image("camera", size=0)
    with pytest.raises(ValueError, match="no channel 3"):
        image("cat", channel=3)


def test_truncated_image_is_refused(tmp_path):
    path = tmp_path / "half.png"
    path.write_bytes(locate("moon").read_bytes()[:20000])
    with pytest.raises(ValueError, match="half.png cannot be read"):
        image(path)


def test_n_items_outside_the_set_is_refused():
    with pytest.raises(DataError, match="n_items lies in 1 to 14"):
        dataset("skimage", 15)
