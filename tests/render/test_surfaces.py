"""Level sets in slabs against the whole grid at once, and against spheres in closed form."""

import subprocess
import sys
from math import pi

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes

from inrkit.fields import SIREN, evaluate
from inrkit.render import level_set
from inrkit.signals import Mesh, Sphere, TorusKnot, grid


def whole_grid(field, resolution, level=0.0):
    values = evaluate(field, grid((resolution,) * 3)).reshape((resolution,) * 3).numpy()
    vertices, faces, _, _ = marching_cubes(values, level)
    return Mesh("whole", 2 * vertices.astype(float) / (resolution - 1) - 1, faces.astype(int))


def wavy():
    torch.manual_seed(1)
    return SIREN(3, 1, width=16, hidden_layers=1, omega_0=20)


@pytest.mark.parametrize("resolution", [17, 30, 41])  # a last slab of 8, 5 and 8 planes of cells
@pytest.mark.parametrize("name", ["sphere", "wavy"])
def test_slabs_give_the_surface_of_the_whole_grid(name, resolution):
    field = Sphere(0.6).distance if name == "sphere" else wavy()
    level = 0.0 if name == "sphere" else field(torch.zeros(1, 3)).item()
    slabs, whole = level_set(field, resolution, level=level), whole_grid(field, resolution, level)
    for here, there in ((slabs, whole), (whole, slabs)):
        distance, _ = cKDTree(here.vertices).query(there.vertices)
        assert distance.max() < 1e-3 * 2 / (resolution - 1)
    assert slabs.area == pytest.approx(whole.area, rel=1e-5)
    assert slabs.open_edges == whole.open_edges
    if whole.watertight:
        assert slabs.volume == pytest.approx(whole.volume, rel=1e-5)


@pytest.mark.parametrize("shape", [Sphere(0.6), TorusKnot()], ids=repr)
def test_seams_are_closed(shape):
    surface = level_set(shape.distance, 33, lipschitz=1.0)
    assert surface.watertight and surface.volume > 0
    edges = np.sort(surface.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    euler = len(surface.vertices) - len(np.unique(edges, axis=0)) + len(surface.faces)
    assert euler == (2 if isinstance(shape, Sphere) else 0)


def test_area_and_volume_converge_with_second_order():
    errors = []
    for resolution in (17, 33, 65):
        surface = level_set(Sphere(0.7).distance, resolution)
        area, volume = 4 * pi * 0.7**2, 4 / 3 * pi * 0.7**3
        errors.append((abs(surface.area / area - 1), abs(surface.volume / volume - 1)))
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 1.7).all() and (orders < 2.4).all()


def test_left_out_blocks_change_nothing_and_save_evaluations():
    counts = []

    def counted(points):
        counts[-1] += len(points)
        return Sphere(0.5).distance(points)

    found = []
    for lipschitz in (float("inf"), 1.0):
        counts.append(0)
        found.append(level_set(counted, 65, lipschitz=lipschitz))
    np.testing.assert_allclose(found[0].vertices, found[1].vertices, atol=1e-6)
    np.testing.assert_array_equal(found[0].faces, found[1].faces)
    assert counts[0] == 65**3 + 8**3 and counts[1] < counts[0] / 2


def test_another_level_is_an_offset_surface():
    surface = level_set(Sphere(0.5).distance, 40, level=0.2)
    radii = np.linalg.norm(surface.vertices, axis=1)
    assert np.abs(radii - 0.7).max() < 1e-3


def test_a_surface_that_leaves_the_cube_is_open():
    assert not level_set(Sphere(1.2).distance, 20).watertight


def test_no_surface_is_said_in_a_sentence():
    with pytest.raises(ValueError, match=r"no surface at level 0: on the grid the field spans 1"):
        level_set(lambda x: 1 + x[:, :1].square(), 9)
    with pytest.raises(ValueError, match="not finite"):
        level_set(lambda x: x[:, :1] / 0 * 0, 9)
    with pytest.raises(ValueError, match="at least 2 points"):
        level_set(Sphere().distance, 1)


PEAK = """
import resource, torch
from inrkit.render import level_set
from inrkit.signals import Sphere
torch.set_num_threads(1)
for n in (16, {resolution}):
    level_set(Sphere(0.7).distance, n)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kibibytes on Linux alone")
def test_memory_grows_with_the_area_so_that_512_fits_in_4_gib():
    command = [sys.executable, "-c", PEAK.format(resolution=160)]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    small, large = map(float, out.split())
    assert large - small < 0.5 * 160**3 * 4 * 4 / 2**20  # coordinates and values of a whole grid
    assert small + (large - small) * (512 / 160) ** 2 < 4096
