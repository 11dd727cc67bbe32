"""Volume rendering against closed forms: known transmittance, known distributions, geometry."""

from math import pi, sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from inrkit.signals import (
    Rays,
    crossing,
    edges,
    emission,
    importance,
    orbit,
    picture,
    render,
    stratified,
    views,
    weights,
)


def parallel(offsets):
    """Rays along the first axis, at these heights."""
    y = torch.as_tensor(offsets, dtype=torch.float32)
    origins = torch.stack([torch.full_like(y, -3), y, torch.zeros_like(y)], dim=-1)
    return Rays(origins, torch.tensor([1.0, 0.0, 0.0]).expand_as(origins))


def ball(radius, density, colour):
    def matter(x):
        inside = x.norm(dim=-1) < radius
        return density * inside.float(), torch.tensor(colour).expand(*x.shape)

    return matter


@pytest.mark.parametrize("fine", [0, 400])
@pytest.mark.parametrize("random", [False, True])
def test_a_homogeneous_ball_lets_through_what_beer_and_lambert_say(random, fine):
    torch.manual_seed(0)
    heights = [0.0, 0.2, 0.4, 0.55, 0.7]
    radius, density, colour = 0.6, 2.5, (0.2, 0.9, 0.0)
    found = render(ball(radius, density, colour), parallel(heights), coarse=800, fine=fine,
                   random=random, background=1.0)  # fmt: skip
    chords = 2 * np.sqrt(np.maximum(radius**2 - np.square(heights), 0))
    through = np.exp(-density * chords)[:, None]
    np.testing.assert_allclose(found, (1 - through) * np.array(colour) + through, atol=0.01)


def test_weights_are_exact_for_steps_of_density():
    density = torch.tensor([[0.0, 3.0, 1.0, 50.0]])
    lengths = torch.tensor([[0.5, 0.2, 1.0, 2.0]])
    depth = np.array([0, 0.6, 1.6, 101.6])  # optical, at the end of each
    left = np.exp(-np.concatenate([[0], depth]))
    np.testing.assert_allclose(weights(density, lengths)[0], left[:-1] - left[1:], rtol=1e-5)


def test_rays_cross_the_cube_where_geometry_says():
    rays = parallel([0.0, 0.999, 1.5])
    near, far = crossing(rays)
    assert near[:2].tolist() == [2, 2] and far[:2].tolist() == [4, 4] and near[2] == far[2]
    inside = Rays(torch.zeros(1, 3), torch.full((1, 3), 3**-0.5))
    near, far = crossing(inside)
    assert near.item() == 0 and far.item() == pytest.approx(sqrt(3))


def test_stratified_distances_have_one_in_each_part():
    torch.manual_seed(1)
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.5])
    share = (stratified(near, far, 8) - near[:, None]) / (far - near)[:, None]
    assert (torch.floor(8 * share) == torch.arange(8)).all()
    ends = edges(stratified(near, far, 8, random=False), near, far)
    torch.testing.assert_close(ends.diff().sum(-1), far - near)


def test_importance_follows_the_weights():
    torch.manual_seed(2)
    ends = torch.tensor([[0.0, 1.0, 1.5, 4.0]])
    shares = torch.tensor([[0.5, 0.2, 0.3]])
    found = importance(ends.expand(500, -1), shares.expand(500, -1), 40)
    assert (found.diff() >= 0).all()

    def cdf(t):
        return np.interp(t, [0, 1, 1.5, 4], [0, 0.5, 0.7, 1])

    assert stats.ks_1samp(found.ravel().numpy(), cdf).statistic < 0.01


def test_gradients_reach_density_and_colour():
    torch.manual_seed(3)
    raw = torch.zeros(4, requires_grad=True)
    found = render(lambda x: emission(raw.expand(len(x), 4)), parallel([0.0]), coarse=16, fine=16)
    through = np.exp(-2.0)  # density 1 over two units, colour one half
    np.testing.assert_allclose(found.detach(), [[(1 - through) / 2 + through] * 3], rtol=1e-5)
    found.sum().backward()
    # d/d raw of the density: each channel falls by half the light that is stopped more
    assert raw.grad[0].item() == pytest.approx(-3 * 0.5 * 2 * through, rel=1e-4)
    assert raw.grad[1].item() == pytest.approx((1 - through) / 4, rel=1e-4)


def test_cameras_on_an_orbit_look_at_the_origin():
    for camera in orbit(5, radius=4.0, shape=(9, 11), elevation=25.0):
        rays = camera.rays()
        assert len(rays) == 99
        torch.testing.assert_close(rays.directions.norm(dim=-1), torch.ones(99))
        middle = rays[49:50]  # of the picture
        torch.testing.assert_close(middle.at(torch.tensor([[4.0]]))[0, 0], torch.zeros(3),
                                   atol=1e-5, rtol=0)  # fmt: skip
        assert rays.origins[0, 2].item() == pytest.approx(4 * np.sin(25 * pi / 180), rel=1e-5)
        top, bottom = rays.directions[5], rays.directions[-6]
        assert top[2] > bottom[2]  # the first row is on top
        corners = rays.directions[[44, 54]]  # ends of the middle row
        angle = torch.rad2deg(torch.arccos((corners[0] * corners[1]).sum()))
        assert angle.item() == pytest.approx(
            2 * np.degrees(np.arctan(10 / 11 * np.tan(np.radians(20)))), rel=1e-4
        )


def test_an_orbit_goes_round_anticlockwise_from_its_start():
    heights = [10.0, 50.0, -20.0, 0.0]
    for i, camera in enumerate(orbit(4, radius=2.0, shape=(3, 3), elevation=heights, start=30.0)):
        turn, rise = np.radians(30 + 90 * i), np.radians(heights[i])
        level = 2 * np.cos(rise)
        expected = [level * np.cos(turn), level * np.sin(turn), 2 * np.sin(rise)]
        np.testing.assert_allclose(camera.pose[:, 3], expected, atol=1e-6)
        rotation = camera.pose[:, :3].double()
        torch.testing.assert_close(rotation.mT @ rotation, torch.eye(3).double(), atol=1e-6, rtol=0)
        assert torch.linalg.det(rotation) > 0  # no mirror


@pytest.mark.parametrize("background", [0.0, 0.3, 1.0])
def test_what_shines_through_is_the_background(background):
    matter = ball(0.5, 1.5, (0.9, 0.1, 0.4))
    found = render(matter, parallel([0.0, 0.9]), coarse=800, fine=0, background=background)
    through = np.exp(-1.5)
    expected = (1 - through) * np.array([0.9, 0.1, 0.4]) + through * background
    np.testing.assert_allclose(found[0], expected, atol=0.01)
    np.testing.assert_allclose(found[1], background, atol=1e-6)


def test_emission_has_a_colour_of_three_and_a_density_that_ends():
    raw = torch.tensor([[1.0, -2.0, 0.0, 3.0], [50.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    density, colour = emission(raw)
    assert density.tolist() == pytest.approx([np.e, np.exp(8)])
    np.testing.assert_allclose(colour[0], 1 / (1 + np.exp([2.0, 0.0, -3.0])))


def test_rays_enter_and_leave_where_a_walk_along_them_does():
    torch.manual_seed(4)
    origins, directions = 4 * torch.rand(200, 3) - 2, torch.randn(200, 3)
    rays = Rays(origins, torch.nn.functional.normalize(directions, dim=-1))
    t = torch.linspace(0, 6, 6001).expand(200, -1)
    inside = rays.at(t).abs().amax(-1) <= 1
    near, far = crossing(rays)
    hit = inside.any(-1)
    assert 20 < hit.sum() < 180
    first = torch.where(inside, t, torch.inf).amin(-1)[hit]
    last = torch.where(inside, t, -torch.inf).amax(-1)[hit]
    torch.testing.assert_close(near[hit], first, atol=2e-3, rtol=0)
    torch.testing.assert_close(far[hit], last, atol=2e-3, rtol=0)
    assert ((far - near)[~hit] < 2e-3).all()  # but for a corner between two steps


def test_a_picture_puts_a_small_ball_where_it_is():
    (camera,) = orbit(1, radius=3.0, shape=(21, 21), elevation=0.0)

    def above(x):
        return ball(0.2, 100.0, (0.0, 0.0, 0.0))(x - torch.tensor([0.0, 0.4, 0.6]))

    seen = picture(above, camera.rays(), coarse=100, fine=0).reshape(21, 21, 3)
    row, column = np.argwhere(seen[..., 0].numpy() < 0.5).mean(0)
    focal = 21 / 2 / np.tan(np.radians(20))
    assert row == pytest.approx(10 - focal * 0.6 / 3, abs=0.3)
    assert column == pytest.approx(10 + focal * 0.4 / 3, abs=0.3)


def test_views_keep_rays_and_pictures_together():
    path = orbit(3, radius=3.0, shape=(4, 5))
    pictures = [torch.full((4, 5, 3), 0.1 * i) for i in range(3)]
    found = views("three", path, pictures)
    np.testing.assert_allclose(found.pictures(), torch.stack(pictures))
    rays, colours = found.sample(50)
    origins = torch.stack([c.pose[:, 3] for c in path])
    which = (10 * colours[:, 0]).round().long()
    torch.testing.assert_close(rays.origins, origins[which])
    with pytest.raises(ValueError, match="as many colours"):
        views("two", path, pictures[:2])
