import numpy as np
import pytest
import torch

from inrkit.measure import cost, peak_memory, step_times


def test_steps_are_timed_in_turn_against_the_first(monkeypatch):
    calls, now = [], [100.0]
    monkeypatch.setattr(cost.time, "perf_counter", lambda: now[0])
    taken = iter([9, 9, 1, 3, 2, 4, 1, 5, 2, 12, 4, 4])  # seconds of each step; the first warm up

    def step(name):
        calls.append(name)
        now[0] += next(taken)

    steps = {name: lambda name=name: step(name) for name in ("first", "other")}
    times = step_times(steps, rounds=5, warmup=1)
    assert calls == ["first", "other"] * 6
    assert times.seconds.tolist() == [[1, 3], [2, 4], [1, 5], [2, 12], [4, 4]]
    assert times.median == {"first": 2, "other": 4}
    low, median, high = np.percentile([3, 2, 5, 6, 1], (25, 50, 75))
    assert times.ratio("other") == (median, low, high)
    assert times.ratio("first") == (1, 1, 1)


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
