"""No test depends on those before it, nor on how fast the machine is.

``INRKIT_TEST_ORDER=7`` runs the modules, and the tests of each, in the seventh random order.
"""

import os
from collections import defaultdict
from itertools import chain
from random import Random

import pytest
import torch
from hypothesis import HealthCheck, settings

ORDER = os.environ.get("INRKIT_TEST_ORDER")

# the same examples everywhere, however long each takes
settings.register_profile(
    "inrkit", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("inrkit")
torch.set_warn_always(True)  # a warning is an error in each test that causes it, not in the first


def pytest_collection_modifyitems(items):
    if ORDER is None:
        return
    modules, random = defaultdict(list), Random(ORDER)
    for item in items:
        modules[item.path].append(item)
    shuffled = random.sample(list(modules.values()), len(modules))
    items[:] = chain.from_iterable(random.sample(tests, len(tests)) for tests in shuffled)


def pytest_terminal_summary(terminalreporter):
    if ORDER is not None:
        terminalreporter.write_line(f"in random order: INRKIT_TEST_ORDER={ORDER}")


@pytest.fixture(autouse=True)
def same_random_numbers():
    torch.manual_seed(0)
