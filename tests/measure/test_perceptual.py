"""LPIPS against convolutions by SciPy, and its laws."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from skimage import data, filters

from inrkit.measure import LPIPS, lpips
from inrkit.measure.perceptual import DEVIATION, MEAN, WEIGHTS
from inrkit.signals import registry

SHAPES = [(6, 3, 11), (5, 6, 5), (4, 5, 3), (4, 4, 3), (3, 4, 3)]


def random_metric():
    rng = np.random.default_rng(0)
    arrays = {}
    for i, (m, n, k) in enumerate(SHAPES, start=1):
        arrays[f"conv{i}_w"] = rng.normal(0, (n * k * k) ** -0.5, (m, n, k, k))
        arrays[f"conv{i}_b"] = rng.normal(0, 0.1, m)
        arrays[f"lin{i}_w"] = rng.uniform(0, 1, m)
    return LPIPS({name: torch.from_numpy(a).float() for name, a in arrays.items()}), arrays


def convolved(x, kernel, bias, stride, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    full = [sum(correlate(c, k, "valid") for c, k in zip(x, out, strict=True)) for out in kernel]
    return np.maximum(np.stack(full)[:, ::stride, ::stride] + bias[:, None, None], 0)


def pooled(x):
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return windows[:, ::2, ::2].max((-1, -2))


def by_hand(image, arrays):
    x = ((2 * image - 1 - MEAN) / DEVIATION).transpose(2, 0, 1)
    layers = []
    for i, (stride, padding) in enumerate([(4, 2), (1, 2), (1, 1), (1, 1), (1, 1)]):
        x = pooled(x) if i in (1, 2) else x
        x = convolved(x, arrays[f"conv{i + 1}_w"], arrays[f"conv{i + 1}_b"], stride, padding)
        layers.append(x)
    return layers


def test_distance_is_the_formula():
    metric, arrays = random_metric()
    first, second = np.random.default_rng(1).uniform(0, 1, (2, 47, 40, 3))
    expected = 0.0
    for i, (a, b) in enumerate(zip(by_hand(first, arrays), by_hand(second, arrays), strict=True)):
        a, b = (v / (np.linalg.norm(v, axis=0) + 1e-10) for v in (a, b))
        expected += ((a - b) ** 2 * arrays[f"lin{i + 1}_w"][:, None, None]).sum(0).mean()
    assert metric(first, second) == pytest.approx(expected, rel=1e-4)
    assert metric(first, first) == 0
    assert metric(first, second) == pytest.approx(metric(second, first), rel=1e-6)


def test_refuses_what_is_no_pair_of_colour_images():
    metric, _ = random_metric()
    shapes = [((40, 40),) * 2, ((30, 40, 3),) * 2, ((40, 40, 3), (41, 40, 3))]
    for first, second in shapes:
        with pytest.raises(ValueError, match="two colour images"):
            metric(np.zeros(first), np.zeros(second))
    assert metric(np.zeros((31, 31, 3)), np.ones((31, 31, 3))) > 0


def test_without_weights_there_is_no_metric(monkeypatch, tmp_path):
    monkeypatch.setenv("INRKIT_DATA", str(tmp_path))
    monkeypatch.setattr(registry, "_downloads", lambda: tmp_path)
    assert lpips() is None


def test_weights_come_from_a_file(tmp_path):
    _, arrays = random_metric()
    np.savez(tmp_path / "w.npz", **{n: a.astype(np.float32) for n, a in arrays.items()})
    image = np.random.default_rng(2).uniform(0, 1, (40, 40, 3))
    assert lpips(tmp_path / "w.npz")(image, image**2) > 0


@pytest.mark.skipif(lpips() is None, reason=f"needs {WEIGHTS}")
def test_the_trained_metric_orders_distortions():
    metric, image = lpips(), data.astronaut()[:128, 128:256] / 255
    blurred = [metric(filters.gaussian(image, s, channel_axis=-1), image) for s in (0.5, 1, 2, 4)]
    assert np.all(np.diff(blurred) > 0) and 0.3 < blurred[-1] < 1
    # a shift of brightness is slight to the eye, a blur of the same error is not
    blur = filters.gaussian(image, 2, channel_axis=-1)
    shift = np.sqrt(np.square(blur - image).mean())
    middle = 0.25 + 0.5 * image
    assert metric(middle + shift / 2, middle) < metric(0.25 + 0.5 * blur, middle)


@pytest.mark.skipif(lpips() is None, reason=f"needs {WEIGHTS}")
def test_the_trained_metric_is_its_authors():
    """Against their package, where it is installed, with the registry's AlexNet put in."""
    package = pytest.importorskip("lpips")
    theirs, ours = package.LPIPS(net="alex", pnet_rand=True, verbose=False), lpips()
    layers = [m for m in theirs.net.modules() if isinstance(m, torch.nn.Conv2d)]
    for i, (layer, head) in enumerate(zip(layers, theirs.lins, strict=True), start=1):
        layer.weight.data, layer.bias.data = ours.arrays[f"conv{i}_w"], ours.arrays[f"conv{i}_b"]
        (weights,) = head.parameters()
        assert torch.equal(weights.detach().flatten(), ours.arrays[f"lin{i}_w"])
    image = data.astronaut()[:128, 128:256] / 255
    for other in (filters.gaussian(image, 2, channel_axis=-1), image[::-1].copy()):
        pair = [torch.from_numpy(2 * x - 1).float().permute(2, 0, 1)[None] for x in (image, other)]
        with torch.no_grad():
            assert ours(image, other) == pytest.approx(theirs(*pair).item(), abs=1e-6)
