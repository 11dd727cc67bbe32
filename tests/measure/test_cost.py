import time

import pytest
import torch

from inrkit.measure import peak_memory, step_times


def test_steps_are_timed_in_turn_against_the_first():
    calls = []

    def step(name, seconds):
        calls.append(name)
        time.sleep(seconds)

    times = step_times(
        {"fast": lambda: step("fast", 0.01), "slow": lambda: step("slow", 0.03)},
        rounds=5,
        warmup=1,
    )
    assert calls == ["fast", "slow"] * 6
    assert times.seconds.shape == (5, 2)
    assert times.median["fast"] >= 0.01
    median, low, high = times.ratio("slow")
    assert low <= median <= high
    assert 1.5 < median < 4
    assert times.ratio("fast") == (1, 1, 1)


def test_peak_memory_is_the_storages_that_backward_needs():
    x = torch.rand(1000, requires_grad=True)

    def step():
        y = x * 2  # saves nothing
        (y.sin() + y.cos()).sum().backward()  # both save y: one storage

    assert peak_memory(step).saved == 4000


def test_views_count_as_the_storage_they_lie_in():
    x = torch.rand(1000, requires_grad=True)
    assert peak_memory(lambda: (x.exp()[:10] ** 2).sum().backward()).saved == 4000


def test_chunks_that_are_let_go_do_not_add_up():
    x = torch.rand(4, 1000, requires_grad=True)

    def chunked():
        for part in x:
            part.exp().sin().sum().backward()

    whole = peak_memory(lambda: x.exp().sin().sum().backward()).saved
    assert whole == 16000
    assert peak_memory(chunked).saved == pytest.approx(whole / 4)


def test_memory_of_a_step_without_gradients_is_nothing():
    def step():
        with torch.no_grad():
            torch.rand(10).exp()

    assert peak_memory(step).saved == 0
