"""One thing after another is changed, and the digest with it; what is equal stays equal."""

import os
import subprocess
import sys
import threading
import time
import types
import warnings
from contextlib import contextmanager
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from inrkit.fields import MLP, SIREN
from inrkit.training import Blurred, Minibatch, Regression, fit, fit_collection, losses
from inrkit.training import checkpoint as checkpoints
from inrkit.training.code import Unhashable
from inrkit.training.digest import digest

START = """
import collections, dataclasses, datetime, decimal, enum, fractions, functools, math, operator
import pathlib, re
from functools import partial
import numpy as np
import scipy.special
import torch
from torch import nn
from inrkit.fields import *
from inrkit.training import *
torch.manual_seed(0)
A = torch.arange(6.0).reshape(3, 2)
"""

# What a notebook's cells may say: x is hashed; the second text takes the place of the first.
KINDS = {
    # functions
    "a constant": ("x = lambda u: 2 * u", "2 *", "3 *"),
    "a constant's type": ("x = lambda u: u ** 2", "2", "2.0"),
    "an operator": ("x = lambda u: u + 1", "+", "-"),
    "a string": ("x = lambda u: {'a': u}['a']", "'a'", "'b'"),
    "a set of constants": ("x = lambda u: u in {1, 2}", "2}", "3}"),
    "a method called": ("x = lambda u: u.sin()", "sin", "cos"),
    "a keyword": ("x = lambda u: u.sum(dim=0)", "dim=0", "axis=0"),
    "a default": ("def x(u, a=1.0): return a * u", "1.0", "2.0"),
    "a keyword's default": ("def x(u, *, a=1.0): return a * u", "1.0", "2.0"),
    "a closure": ("def make(a): return lambda u: a * u\nx = make(1.0)", "1.0", "2.0"),
    "a closure of closures": (
        "def make(a):\n def inner(u): return a * u\n return lambda u: inner(u)\nx = make(1.0)",
        "1.0", "2.0"),
    "a nested function": ("def x(u):\n def f(v): return 2 * v\n return f(u)", "2", "3"),
    "a comprehension": ("def x(u): return sum([k * u for k in range(3)])", "3", "4"),
    "an exception caught": ("def x(u):\n try: return 1 / u\n except ZeroDivisionError: return 0",
                            "ZeroDivisionError", "ValueError"),
    "a global number": ("c = 1.0\ndef x(u): return c * u", "1.0", "2.0"),
    "a global tensor": ("c = torch.ones(2)\ndef x(u): return c * u", "ones", "zeros"),
    "a global of a global": ("c = 1\ndef f(u): return c * u\ndef x(u): return f(u)", "= 1", "= 2"),
    "a global in a nested function": ("c = 1\ndef x(u): return map(lambda v: c * v, u)", "1", "2"),
    "a global in a default's function": (
        "c = 1\ndef x(u, f=lambda v: c * v): return f(u)", "1", "2"),
    "an attribute of a global": (
        "class C: pass\nc = C()\nc.a = 1\ndef x(u): return c.a * u", "= 1", "= 2"),
    "a class attribute read": ("class C: a = 1\ndef x(u): return C.a * u", "= 1", "= 2"),
    "functions that call each other": (
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n == 1 or even(n - 1)\n"
        "x = even", "== 1", "== 2"),
    "what a module has": ("def x(u): return math.sin(u)", "sin", "cos"),
    "what a module's module has": ("def x(u): return scipy.special.j0(u)", "j0", "j1"),
    "a module's function by another name": ("from math import sin as f\ndef x(u): return f(u)",
                                            "sin as", "cos as"),
    "an import inside": ("def x(u):\n from math import sin as f\n return f(u)", "sin", "cos"),
    "a builtin": ("def x(u): return max(u)", "max", "min"),
    "a builtin replaced": ("def x(u): return max(u)\ndef f(u): return 1", "def f", "def max"),
    "a function's attribute": ("def x(u): return x.a * u\nx.a = 1", "= 1", "= 2"),
    "a wrapped function": (
        "def times(f, a):\n @functools.wraps(f)\n def g(u): return a * f(u)\n return g\n"
        "x = times(torch.nn.functional.relu, 1)", "1)", "2)"),
    "a wrapper's global": (
        "c = 1\n@functools.wraps(torch.nn.functional.relu)\ndef x(u): return c * u", "1", "2"),
    "a cached function": ("@functools.lru_cache\ndef x(u): return 2 * u", "2", "3"),
    "a generator function": ("def x(u): yield 2 * u", "2", "3"),
    "a class made inside": ("def x(u):\n class C: a = 1\n return C.a * u", "= 1", "= 2"),
    "a torch function": ("x = torch.sin", "sin", "cos"),
    "a torch function in Python": ("x = nn.functional.relu", "relu", "elu"),
    "a tensor's method": ("x = torch.Tensor.sin", "sin", "cos"),
    "an operator of PyTorch": ("x = torch.ops.aten.sin", "sin", "cos"),
    "an operator's overload": ("x = torch.ops.aten.sum.default", "default", "dim_IntList"),
    "a ufunc": ("x = np.sin", "sin", "cos"),
    "a function of a package": ("x = scipy.special.j0", "j0", "j1"),
    "a function of the operator module": ("x = operator.itemgetter(1)", "1", "2"),
    # partial functions, methods, callable objects
    "a partial's argument": ("x = partial(max, 1)", "1", "2"),
    "a partial's keyword": ("x = partial(torch.optim.Adam, betas=(0.9, 0.9))", "0.9)", "0.8)"),
    "a partial's function": ("x = partial(lambda a, u: a * u, 1)", "*", "+"),
    "a bound method's object": (
        "class C:\n def __init__(s, a): s.a = a\n def f(s, u): return s.a * u\nx = C(1).f",
        "(1)", "(2)"),
    "a bound method's code": ("class C:\n def f(s, u): return 2 * u\nx = C().f", "2", "3"),
    "a callable object": (
        "class C:\n def __init__(s, a): s.a = a\n def __call__(s, u): return s.a * u\nx = C(1)",
        "(1)", "(2)"),
    "a call": ("class C:\n def __call__(s, u): return 2 * u\nx = C()", "2", "3"),
    "a method that a method calls": (
        "class C:\n def g(s): return 2\n def __call__(s, u): return s.g() * u\nx = C()", "2", "3"),
    "a bound method of a list": ("x = [1, 2].index", "[1", "[3"),
    # classes
    "a class": ("class C: pass\nx = C", "C", "D"),
    "a class attribute": ("class C: a = 1\nx = C()", "1", "2"),
    "a base's method": ("class B:\n def f(s): return 2\nclass C(B): pass\nx = C()", "2", "3"),
    "a property": ("class C:\n @property\n def a(s): return 2\nx = C()", "2", "3"),
    "a cached property": ("class C:\n @functools.cached_property\n def a(s): return 2\nx = C()",
                          "2", "3"),
    "a static method": ("class C:\n @staticmethod\n def a(u): return 2\nx = C()", "2", "3"),
    "a class method": ("class C:\n @classmethod\n def a(c): return 2\nx = C()", "2", "3"),
    "a metaclass": ("class M(type):\n def f(c): return 2\nclass C(metaclass=M): pass\nx = C",
                    "2", "3"),
    "a dataclass's field": ("@dataclasses.dataclass(frozen=True)\nclass C: a: int\nx = C(1)",
                            "(1)", "(2)"),
    "a dataclass's default": ("@dataclasses.dataclass\nclass C: a: int = 1\nx = C", "1", "2"),
    "a dataclass's method": (
        "c = 1\n@dataclasses.dataclass\nclass C:\n a: int\n def f(s): return c * s.a\nx = C(0)",
        "c = 1", "c = 2"),
    "a slot": ("class C: __slots__ = ('a',)\nx = C()\nx.a = 1", "= 1", "= 2"),
    "a private slot": (
        "class C:\n __slots__ = ('__a',)\n def __init__(s): s.__a = 1\nx = C()", "1", "2"),
    "a list with attributes": ("class C(list): pass\nx = C([1])\nx.a = 1", "= 1", "= 2"),
    "what a list of one's own holds": ("class C(list): pass\nx = C([1])", "[1", "[2"),
    "what a dict of one's own holds": ("class C(dict): pass\nx = C(a=1)", "=1", "=2"),
    "an object's private state": (
        "class C:\n def __init__(s): s.a = 1\n def __getstate__(s): return {}\nx = C()",
        "= 1", "= 2"),
    "an enum's member": ("class E(enum.Enum): A = 1; B = 1.5\nx = E.A", "x = E.A", "x = E.B"),
    "an enum's value": ("class E(enum.Enum): A = 1\nx = E.A", "1", "2"),
    # modules
    "a forward": ("class M(nn.Module):\n def forward(s, u): return 2 * u\nx = M()", "2", "3"),
    "a method that forward calls": (
        "class M(nn.Module):\n def g(s, u): return 2 * u\n"
        " def forward(s, u): return s.g(u)\nx = M()",
        "2", "3"),
    "a forward of the instance": ("x = SIREN(2, 1, width=4)\nx.forward = lambda u: 2 * u",
                                  "2 * u", "3 * u"),
    "an attribute": ("x = nn.Linear(1, 1)\nx.a = 1", "= 1", "= 2"),
    "a parameter": ("x = nn.Linear(1, 1)\nx.bias.data.fill_(1)", "(1)", "(2)"),
    "a buffer": ("x = nn.Linear(1, 1)\nx.register_buffer('b', torch.ones(1))", "ones", "zeros"),
    "a buffer that no state holds": (
        "x = nn.Linear(1, 1)\nx.register_buffer('b', torch.ones(1), persistent=False)",
        "ones", "zeros"),
    "a frozen layer": (
        "x = SIREN(2, 1, width=4)\nx.layers[0].requires_grad_(True)", "True", "False"),
    "evaluation": ("x = nn.Dropout()\nx.train()", "train", "eval"),
    "dropout": ("x = nn.Dropout(0.5)", "0.5", "0.6"),
    "the order of layers": ("x = nn.Sequential(nn.ReLU(), nn.Tanh())", "nn.ReLU(), nn.Tanh()",
                            "nn.Tanh(), nn.ReLU()"),
    "a parameter's name": ("x = nn.Module()\nx.a = nn.Parameter(A)", "x.a", "x.b"),
    "a hook": ("x = nn.ReLU()\nx.register_forward_hook(lambda m, i, o: 2 * o)", "2", "3"),
    "a hook before": (
        "x = nn.ReLU()\nx.register_forward_pre_hook(lambda m, i: 2 * i[0])", "2", "3"),
    "a hook's closure": (
        "x = nn.ReLU()\ndef make(a): return lambda m, i, o: a * o\n"
        "x.register_forward_hook(make(1))",
        "(1)", "(2)"),
    "a gradient's hook": ("x = nn.Linear(1, 1)\nx.bias.register_hook(lambda g: 2 * g)", "2", "3"),
    "shared weights": (
        "x = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))\n"
        "x[1].load_state_dict(x[0].state_dict())",
        "x[1].load_state_dict(x[0].state_dict())",
        "x[1].weight, x[1].bias = x[0].weight, x[0].bias"),
    "shared memory": (
        "x = [nn.Parameter(A.clone()), nn.Parameter(A.clone())]", "nn.Parameter(A.clone())]",
        "nn.Parameter(A.clone())]\nx[1].data = x[0].data"),
    "which part of a memory": ("m = torch.zeros(4)\nx = [m[:2], m[2:]]", "m[2:]", "m[:2]"),
    "every how many of a memory": ("m = torch.zeros(4)\nx = [m, m[:2]]", "[:2]", "[::2]"),
    "a model or its copy": (
        "import copy\nm = SIREN(2, 1, width=4)\nx = [m, lambda u: m(u)]\nm2 = copy.deepcopy(m)",
        "m(u)", "m2(u)"),
    "a submodule's attribute": ("x = nn.Sequential(nn.Softplus(beta=1))", "1", "2"),
    "a parametrization": (
        "class P(nn.Module):\n def forward(s, w): return 2 * w\nx = nn.Linear(1, 1)\n"
        "nn.utils.parametrize.register_parametrization(x, 'weight', P())", "2", "3"),
    "WIRE's scale": ("x = WIRE(2, 1, width=4, scale=10.0)", "10.0", "11.0"),
    "WIRE's omega": ("x = WIRE(2, 1, width=4, omega=10.0)", "10.0", "11.0"),
    "an encoding's lowest frequency": (
        "x = PositionalEncoding(2, bands=3, lowest=1.0)", "1.0", "2.0"),
    "an activation": ("x = MLP(2, 1, width=4, activation=lambda u: u.sin())", "sin", "cos"),
    "a damping": ("x = SPDER(2, 1, width=4, damping=lambda u: u.sin())", "sin", "cos"),
    "a damping's global": ("c = 1.0\ndef f(u): return c\nx = SPDER(2, 1, width=4, damping=f)",
                           "c = 1.0", "c = 1.1"),
    # losses and signals
    "an operator on the field": ("x = Regression(A, A, lambda m, u: m(u))", "m(u)", "2 * m(u)"),
    "a loss's class": ("class L(Regression): pass\nx = L(A, A)", "= L(", "= Regression("),
    "a loss's weight": ("x = Sum((Regression(A, A),), (1.0,))", "(1.0", "(2.0"),
    "a signal's global": (
        "waves = 12.0\nclass R:\n def sample(s, n):\n  y = torch.rand(n, 2)\n"
        "  return y, torch.sin(waves * y)\nx = Minibatch(R(), 5)", "12.0", "13.0"),
    "a wave's start": (
        "variance = 5e-3\ndef pulse(y): return torch.exp(-y.square().sum(-1, True) / variance)\n"
        "x = Wave(pulse, 8, 4, 0.4)", "5e-3", "5e-4"),
    "a ramp": ("x = Scheduled(Wave(torch.sin, 8, 4, 0.4), {'horizon': Ramp((0, 1), (0.0, 1.0))})",
               "1.0)", "2.0)"),
    # tensors and arrays
    "a tensor": ("x = A", "A", "A + 1"),
    "a tensor's shape": ("x = A", "A", "A.reshape(2, 3)"),
    "a tensor's type": ("x = A", "A", "A.double()"),
    "a tensor's bits": ("x = torch.zeros(4, dtype=torch.int32)", "int32", "float32"),
    "half precision": ("x = torch.ones(2, dtype=torch.bfloat16)", "ones", "zeros"),
    "an imaginary part": ("x = torch.complex(A, A)", "A)", "A + 1)"),
    "a conjugate": ("x = torch.complex(A, A)", "A)", "A).conj()"),
    "a sparse tensor": ("x = (A + 1).to_sparse()", "+ 1", "+ 2"),
    "a sparse tensor's places": ("x = A.to_sparse()", "A.", "A.flip(0)."),
    "a compressed tensor": ("x = (A + 1).to_sparse_csr()", "+ 1", "+ 2"),
    "a tensor's attribute": ("x = A\nx.a = 1", "= 1", "= 2"),
    "gradients wanted": ("x = A.clone()", "clone()", "clone().requires_grad_()"),
    "an array": ("x = np.ones(3)", "ones", "zeros"),
    "an array's type": ("x = np.zeros(3)", "3", "3, np.int64"),
    "an array of objects": ("x = np.array([{'a': 1}])", "1", "2"),
    "a mask": ("x = np.ma.array([1, 2], mask=[0, 0])", "[0, 0]", "[0, 1]"),
    "a record array": ("x = np.zeros(2, dtype=[('a', 'f4')])", "'a'", "'b'"),
    "a NumPy number": ("x = np.float64(1)", "float64", "float32"),
    "a NumPy or a Python number": ("x = np.float64(1)", "np.float64(1)", "1.0"),
    # plain values
    "true or one": ("x = True", "True", "1"),
    "a whole number or a float": ("x = 1", "1", "1.0"),
    "a negative zero": ("x = 0.0", "0.0", "-0.0"),
    "a large number": ("x = 10 ** 5000", "5000", "5001"),
    "none or nothing": ("x = None", "None", "()"),
    "a number or its text": ("x = 1", "1", "'1'"),
    "text or bytes": ("x = 'a'", "'a'", "b'a'"),
    "a list or a tuple": ("x = [1]", "[1]", "(1,)"),
    "where a list ends": ("x = [[1], 2]", "[[1], 2]", "[[1, 2]]"),
    "texts that join alike": ("x = ['ab', 'c']", "'ab', 'c'", "'a', 'bc'"),
    "a dict's value": ("x = {'a': 1}", "1", "2"),
    "a dict's order": ("x = {'a': 1, 'b': 1}", "'a': 1, 'b'", "'b': 1, 'a'"),
    "a set": ("x = {1, 2}", "2", "3"),
    "a slice": ("x = slice(1, 2)", "2", "3"),
    "a range": ("x = range(2)", "2", "3"),
    "a path": ("x = pathlib.Path('a')", "'a'", "'b'"),
    "a dtype": ("x = torch.float32", "32", "64"),
    "a device": ("x = torch.device('cpu')", "'cpu'", "'cuda'"),
    "a layout": ("x = torch.strided", "strided", "sparse_coo"),
    "a pattern": ("x = re.compile('a')", "'a'", "'b'"),
    "a pattern's flags": ("x = re.compile('a', re.I)", "re.I", "re.M"),
    "a fraction": ("x = fractions.Fraction(1, 2)", "2", "3"),
    "a decimal": ("x = decimal.Decimal('1.0')", "1.0", "1.00"),
    "a date": ("x = datetime.date(2020, 1, 1)", "2020", "2021"),
    "a deque": ("x = collections.deque([1])", "[1", "[2"),
    "an ordered dict": ("x = collections.OrderedDict(a=1)", "1", "2"),
    "a named tuple": ("N = collections.namedtuple('N', 'a')\nx = N(1)", "(1)", "(2)"),
    "a list that holds itself": ("x = [1]\nx.append(x)", "[1]", "[2]"),
    "which list a list holds": ("x = [1, []]\nx[1].append(x)", "(x)", "(x[1])"),
}  # fmt: skip

# What does not change the result: before, after.
ALIKE = {
    "a comment": ("x = lambda u: 2 * u", "# twice\n\nx = lambda u: 2 * u  # it"),
    "a docstring": ("def x(u): return 2 * u", 'def x(u):\n "Twice."\n return 2 * u'),
    "a class's docstring": ("class C: a = 1\nx = C()", 'class C:\n "One."\n a = 1\nx = C()'),
    "an annotation": ("def x(u): return 2 * u", "def x(u: int) -> int: return 2 * u"),
    "the order of a set": ("x = {'a', 'b', 'c'}", "x = {'c', 'a', 'b'}"),
    "where a text lies": ("x = 'ab ab'", "x = ' '.join(['ab', 'ab'])"),
    "one list or two": ("a = [1]\nx = [a, a]", "x = [[1], [1]]"),
    "a global that is not read": ("c = 1\ndef x(u): return u", "c = 2\ndef x(u): return u"),
    "the order of attributes": (
        "class C: pass\nx = C()\nx.a = 1; x.b = 2", "class C: pass\nx = C()\nx.b = 2; x.a = 1"),
    "how an implicit field was solved last": (
        "x = ImplicitField(FourierMFN(2, 1, width=4))",
        "x = ImplicitField(FourierMFN(2, 1, width=4))\nx(torch.ones(3, 2))"),
    "what is computed once": (
        "class C:\n @functools.cached_property\n def a(s): return object()\nx = C()",
        "class C:\n @functools.cached_property\n def a(s): return object()\nx = C()\nx.a"),
    "a hook that is gone": (
        "x = nn.ReLU()\nx.register_forward_hook(lambda m, i, o: o)",
        "x = nn.ReLU()\nx.register_forward_hook(lambda m, i, o: 2 * o).remove()\n"
        "x.register_forward_hook(lambda m, i, o: o)"),
    "gradients that lie there": (
        "x = nn.Linear(2, 1)", "x = nn.Linear(2, 1)\nx(torch.ones(2)).sum().backward()"),
}  # fmt: skip


def found(source):
    """The digest of x after a notebook's cell."""
    cell = {"__name__": "__main__"}
    exec(START + source, cell)
    return digest(cell["x"])


@pytest.mark.parametrize("kind", KINDS)
def test_one_change_is_another_digest(kind):
    source, old, new = KINDS[kind]
    assert old in source
    assert found(source) == found(source) != found(source.replace(old, new))


@pytest.mark.parametrize("kind", ALIKE)
def test_what_does_not_matter_is_the_same_digest(kind):
    before, after = ALIKE[kind]
    assert found(before) == found(after)


ALONE = """
import sys, types
from inrkit.training.digest import digest
KINDS = {kinds!r}
for source in KINDS:
    cell = sys.modules["__main__"].__dict__
    exec({start!r} + source, cell)
    print(digest(cell["x"]))
"""


def test_two_processes_agree():
    sources = [source for source, _, _ in KINDS.values() if "import" not in source]
    code = ALONE.format(kinds=sources, start=START)
    told = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert told[0] == told[1] and len(set(told[0])) > 0.8 * len(sources)


HELPER = "c = {c}\ndef inner(u): return {factor} * u * c\ndef helper(u): return inner(u)\n"


@pytest.mark.parametrize(
    "cell",
    [
        "import own\ndef x(u): return own.helper(u)",
        "from own import helper as x",
        "def x(u):\n import own\n return own.helper(u)",
        "def x(u):\n from own import helper\n return helper(u)",
        "import own\ndef x(u, m=own): return m.helper(u)",
    ],
)
def test_a_module_of_ones_own_is_followed(cell, monkeypatch):
    def with_module(**numbers):
        module = types.ModuleType("own")
        exec(HELPER.format(**numbers), module.__dict__)
        monkeypatch.setitem(sys.modules, "own", module)
        return found(cell)

    digests = [with_module(c=1, factor=1), with_module(c=2, factor=1), with_module(c=1, factor=2)]
    assert len(set(digests)) == 3 and with_module(c=1, factor=1) == digests[0]


def test_a_method_given_to_a_class_of_the_package_is_seen(monkeypatch):
    torch.manual_seed(0)
    model = SIREN(2, 1, width=4)
    layer = model.layers[0]
    before = digest(model)
    monkeypatch.setattr(type(layer), "forward", lambda self, x: x)
    assert digest(model) != before


def test_a_number_given_to_a_class_of_the_package_is_seen(monkeypatch):
    model = SIREN(2, 1, width=4)
    before = digest(model)
    monkeypatch.setattr(type(model.layers[0]), "scale", 3.0, raising=False)
    assert digest(model) != before


REFUSED = {
    "an open file": "x = open(__import__('os').devnull)",
    "a file in a closure": (
        "f = open(__import__('os').devnull)\ndef make(f): return lambda u: f.read()\nx = make(f)"),
    "a global file": "f = open(__import__('os').devnull)\ndef x(u): return f.read()",
    "a function that opens a file": "def x(u): return open('a').read()",
    "a function that evaluates": "def x(u): return eval('2 * u')",
    "a generator": "x = (i for i in range(3))",
    "an iterator": "x = iter([1, 2])",
    "an iterator of a loss": "class L:\n def __init__(s): s.at = iter([1])\nx = L()",
    "a lock": "import threading\nx = threading.Lock()",
    "a weak reference": "import weakref\nclass C: pass\nc = C()\nx = weakref.ref(c)",
    "the environment": "import os\ndef x(u): return os.environ['A']",
    "a variable of the environment": "from os import getenv\ndef x(u): return getenv('A')",
    "a module found as it runs": "import importlib\ndef x(u): return importlib.import_module(u)",
    "all modules": "import sys\ndef x(u): return sys.modules['a'].b",
    "a function's globals": "def f(): pass\ndef x(u): return f.__globals__['c']",
    "a function's docstring": "def f(): pass\ndef x(u): return f.__doc__",
    "the caller's names": "import sys\ndef x(u): return sys._getframe(1).f_locals['c']",
    "operators of one's own": "x = torch.ops.own_of_a_test",
    "an operator of one's own": (
        "l = torch.library.Library('own_of_a_test', 'FRAGMENT')\nl.define('f(Tensor x) -> Tensor')"
        "\ndef make(f): return lambda u: f(u)\nx = make(torch.ops.own_of_a_test.f)\nl._destroy()"),
    "NumPy's chance": "x = np.random.default_rng(0)",
    "NumPy's global chance": "def x(u): return np.random.rand()",
    "Python's chance": "import random\ndef x(u): return random.random()",
    "a scripted module": "x = torch.jit.trace(nn.ReLU(), torch.ones(1))",
    "a ufunc of one's own": "x = np.frompyfunc(lambda u: 2 * u, 1, 1)",
    "lists in lists without end": "x = []\nfor _ in range(10000): x = [x]",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*jit.*:DeprecationWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_told_apart_is_refused(kind):
    with pytest.raises(Unhashable, match="hand over|hand it over"):
        found(REFUSED[kind])


# fits


def points(n=12, dtype=torch.float32):
    x = torch.linspace(-1, 1, 2 * n, dtype=dtype).reshape(n, 2)
    return x, torch.sin(3 * x.sum(-1, keepdim=True))


def model(seed=0, network=SIREN, **kwargs):
    torch.manual_seed(seed)
    return network(2, 1, width=4, hidden_layers=1, **kwargs)


class Chance:
    """A signal, sampled at random."""

    def sample(self, n):
        x = torch.rand(n, 2)
        return x, x.sum(-1, keepdim=True)


def run(folder, network=None, loss=None, *, state=None, **settings):
    network = model() if network is None else network
    if state is not None:
        torch.manual_seed(state)
    options = {"steps": 3, "lr": 1e-2, "progress": False, "checkpoint": folder / "a.pt"}
    return fit(network, Regression(*points()) if loss is None else loss, **(options | settings))


def double():
    return {"network": model().double(), "loss": Regression(*points(dtype=torch.double))}


def half(step):
    return 0.5


OTHERS = {
    "steps": lambda: {"steps": 4},
    "rate": lambda: {"lr": 1e-3},
    "optimizer": lambda: {"optimizer": torch.optim.SGD},
    "optimizer's settings": lambda: {"optimizer": partial(torch.optim.Adam, eps=1e-3)},
    "optimizer in a lambda": lambda: {"optimizer": lambda p, lr: torch.optim.Adam(p, lr, eps=1e-3)},
    "schedule": lambda: {"schedule": half},
    "another lambda as schedule": lambda: {"schedule": lambda step: 0.5**step},
    "the last factor alone": lambda: {"schedule": lambda step: 1 - 0.5 * (step == 2)},
    "clip": lambda: {"clip": 1e-3},
    "snapshots": lambda: {"snapshots": [2]},
    "chunk": lambda: {"chunk": 5},
    "precision": lambda: {"precision": "bf16"},
    "dtype": double,
    "weights": lambda: {"network": model(1)},
    "network": lambda: {"network": model(network=MLP)},
    "omega": lambda: {"network": model(omega_0=29.0)},
    "loss class": lambda: {"loss": Twin(*points())},
    "operator": lambda: {"loss": Regression(*points(), lambda m, x: 2 * m(x))},
    "coordinates": lambda: {"loss": Regression(points()[0] + 1, points()[1])},
    "values": lambda: {"loss": Regression(points()[0], points()[1] + 1)},
    "random points": lambda: {"loss": Minibatch(Chance(), 12)},
    "another random state": lambda: {"loss": Minibatch(Chance(), 12), "state": 1},
    "another random state, drawn in the loss": lambda: {
        "loss": Blurred(*points(), torch.ones(2)), "state": 2,
    },
}  # fmt: skip


def test_another_fit_has_another_checkpoint(tmp_path):
    run(tmp_path)
    for number, other in enumerate(OTHERS.values(), start=2):
        run(tmp_path, **other())
        assert len(list(tmp_path.iterdir())) == number, list(OTHERS)[number - 2]


@pytest.mark.parametrize("kind", [None, *OTHERS])
def test_a_finished_fit_is_taken_up_without_a_step(tmp_path, monkeypatch, kind):
    settings = OTHERS[kind] if kind else dict
    first = run(tmp_path, **settings())
    after = torch.rand(2)
    loop = sys.modules["inrkit.training.fit"]
    monkeypatch.setattr(loop, "parts", None)  # the loss cannot be called
    again = run(tmp_path, **settings())
    assert torch.equal(again.losses, first.losses) and again.seconds == first.seconds
    assert all(map(torch.equal, again.model.parameters(), first.model.parameters()))
    assert torch.equal(torch.rand(2), after)  # and chance goes on as it did


class Counting:
    """A loss that counts its calls."""

    def __init__(self):
        self.loss, self.calls = Regression(*points()), 0

    def sample(self, step):
        return self.loss.sample(step)

    def error(self, network, *batch):
        self.calls += 1
        return self.loss.error(network, *batch)


def test_the_loss_of_a_finished_fit_is_not_called(tmp_path):
    for calls in (3, 0):  # three steps; what is tried beforehand leaves the loss as it was
        loss = Counting()
        run(tmp_path, loss=loss)
        assert loss.calls == calls


def test_two_processes_take_up_each_others_fit(tmp_path):
    code = f"""
import sys, torch
from pathlib import Path
from inrkit.fields import SIREN
from inrkit.training import Regression, fit
c = 2.0
def operator(model, x): return c * model(x)
class Own(SIREN):
    def forward(self, x): return super().forward(x) + c
def count(module, inputs, output): print("x")
torch.manual_seed(0)
model = Own(2, 1, width=4, hidden_layers=1)
model.register_forward_hook(count)
x = torch.rand(9, 2)
result = fit(model, Regression(x, x[:, :1], operator), steps=4, progress=False,
             schedule=lambda k: c / (k + 1), checkpoint=Path({str(tmp_path / "a.pt")!r}))
print(result.losses.tolist(), torch.rand(1).item())
"""
    told = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                       env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told[0].stdout == "x\n" * 6 + told[1].stdout
    assert told[0].stderr == told[1].stderr == ""


def test_what_cannot_be_told_is_not_kept_and_said(tmp_path):
    with open(os.devnull) as file:
        loss = Regression(*points(), lambda m, x: m(x) if file else x)
        for _ in range(2):
            with pytest.warns(UserWarning, match="a is trained anew.*loss.*TextIOW.*hand over"):
                run(tmp_path, loss=loss)
    assert not list(tmp_path.iterdir())


class Twin(Regression):
    """The same by another name."""


class Growing(Regression):
    """Its weight grows from call to call."""

    weight = torch.zeros(1)

    def error(self, network, *batch):
        self.weight.add_(1)
        return self.weight * super().error(network, *batch)


def test_a_loss_that_changes_by_itself_does_not_resume(tmp_path):
    Growing.weight = torch.zeros(1)
    with pytest.warns(UserWarning, match="starts anew if it is stopped: its loss changes"):
        run(tmp_path, loss=Growing(*points()), checkpoint_seconds=0)
    (only,) = tmp_path.iterdir()
    assert torch.load(only)["step"] == 3


def test_a_schedule_of_more_than_the_step_is_refused(tmp_path):
    asked = []

    def schedule(step):
        asked.append(step)
        return 1 / len(asked)

    with pytest.raises(ValueError, match="at step 0 it gave 1, then 0.25"):
        run(tmp_path, schedule=schedule)


@pytest.mark.parametrize("stop", [False, True])
def test_a_generator_of_the_loss_goes_on_where_it_was(tmp_path, stop, stop_after):
    class Own(Chance):
        def __init__(self, seed):
            self.chance = torch.Generator().manual_seed(seed)

        def sample(self, n):
            x = torch.rand(n, 2, generator=self.chance)
            return x, x.sum(-1, keepdim=True)

    settings = {"steps": 8, "checkpoint_seconds": 0}
    whole = run(tmp_path, loss=Minibatch(Own(0), 5), **settings | {"checkpoint": None})
    if stop:
        stop_after(3)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, loss=Minibatch(Own(0), 5), **settings)
    found = run(tmp_path, loss=Minibatch(Own(0), 5), **settings)
    assert torch.equal(found.losses, whole.losses) and len(list(tmp_path.iterdir())) == 1
    other = run(tmp_path, loss=Minibatch(Own(1), 5), **settings)
    assert not torch.equal(other.losses, whole.losses)


def test_a_collection_knows_how_its_fields_are_built(tmp_path):
    x, y = points()
    values = torch.stack([y, -y, 2 * y])

    def fields(build=lambda: SIREN(2, 1, width=4, hidden_layers=1), **settings):
        options = {"steps": 2, "lr": 1e-2, "group": 2, "progress": False} | settings
        return fit_collection(build, x, values, file=tmp_path / "a.pt", **options)

    class Doubled(SIREN):
        def forward(self, u):
            return 2 * super().forward(u)

    fields()
    fields()
    others = [
        {"build": lambda: Doubled(2, 1, width=4, hidden_layers=1)},
        {"build": lambda: SIREN(2, 1, width=4, hidden_layers=1, omega_0=29.0)},
        {"steps": 3}, {"lr": 1e-3}, {"group": 3}, {"seed": 1}, {"shared": True},
    ]  # fmt: skip
    for number, other in enumerate(others, start=2):
        fields(**other)
        assert len(list(tmp_path.iterdir())) == number


def test_own_files_that_changed_since_they_were_imported_are_not_taken_for_what_runs(monkeypatch):
    from inrkit.training import code

    code.source.cache_clear()
    changed = dict.fromkeys(code.LOADED, 0)
    monkeypatch.setattr(code, "LOADED", changed)
    with pytest.raises(Unhashable, match="has changed since it was imported; restart"):
        digest(1)
    code.source.cache_clear()


@pytest.mark.parametrize("layer", ["calculus", "solvers", "fields", "signals", "training"])
def test_every_layer_that_a_fit_runs_through_counts(tmp_path, monkeypatch, layer):
    from inrkit.training import code

    before, source = digest(1), code.source
    run(tmp_path)
    monkeypatch.setattr(code, "source", lambda name: source(name) + "changed" * (name == layer))
    assert digest(1) != before
    run(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_layers_source_is_its_files_names_and_code(tmp_path, monkeypatch):
    from inrkit.training import code

    def of(number, name="a.py", text="x = 1"):
        file = tmp_path / str(number) / "fields" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
        monkeypatch.setattr(code, "PACKAGE", tmp_path / str(number))
        monkeypatch.setattr(code, "LOADED", {file: file.stat().st_mtime_ns})
        return code.source.__wrapped__("fields")

    first = of(0)
    assert of(1, text="# one\n\nx = 1  # here") == first
    assert len({first, of(2, text="x = 2"), of(3, name="b.py")}) == 3


def test_versions_of_what_is_not_followed_count(monkeypatch):
    """Of packages their own; of the standard library, Python's."""
    for place, name, values in (
        (torch, "__version__", (torch, torch.nn.functional.relu, torch.nn.ReLU)),
        (np, "__version__", (np, np.sin)),
        (sys, "version", (os, os.path.join, partial)),
    ):
        before = [digest(value) for value in values]
        monkeypatch.setattr(place, name, "0.1")
        after = [digest(value) for value in values]
        assert not set(before) & set(after)


@pytest.mark.parametrize("kind", ["default dtype", "autocast", "PyTorch"])
def test_another_arithmetic_has_another_checkpoint(tmp_path, monkeypatch, kind):
    for number in (1, 2):
        network, loss = model(), Regression(*points())
        with torch.autocast("cpu", enabled=kind == "autocast" and number == 2):
            if kind == "default dtype" and number == 2:
                monkeypatch.setattr(torch, "get_default_dtype", lambda: torch.float64)
            if kind == "PyTorch" and number == 2:
                monkeypatch.setattr(torch, "__version__", "0.1")
            run(tmp_path, network, loss)
        assert len(list(tmp_path.iterdir())) == number


class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Operators(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


@contextmanager
def hooked(add, hook):
    handle = add(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


def put(place, name, value):
    return mock.patch.object(place, name, value)


def flat(*args):
    return torch.zeros(1)


AROUND = {
    "everyone's hook": lambda: hooked(
        nn.modules.module.register_module_forward_hook, lambda m, i, o: 2 * o),
    "everyone's hook before": lambda: hooked(
        nn.modules.module.register_module_forward_pre_hook, lambda m, i: i),
    "every optimizer's hook": lambda: hooked(
        register_optimizer_step_pre_hook, lambda o, a, k: None),
    "a mode of functions": Functions,
    "a mode of operators": Operators,
    "deterministic algorithms": deterministic,
    "half precision of another kind": lambda: torch.autocast("cpu", torch.float16),
    "a function of PyTorch replaced": lambda: put(nn.functional, "linear", flat),
    "a method of tensors replaced": lambda: put(torch.Tensor, "square", flat),
    "a function of the package replaced": lambda: put(losses, "gradient", flat),
    "a method of the package replaced": lambda: put(losses.SquaredError, "error", flat),
}  # fmt: skip


@pytest.mark.parametrize("kind", AROUND)
def test_what_acts_on_everything_has_another_checkpoint(tmp_path, kind):
    def name():
        kept = checkpoints.Kept(tmp_path / "a.pt", torch.device("cpu"), model(), None, ())
        return kept.path.name

    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled="half" in kind):
        before = name()
        with AROUND[kind]():
            assert name() == name() != before
        assert name() == before


def test_a_fit_that_reads_a_file_as_it_is_computed_is_not_kept(tmp_path):
    file, folder = tmp_path / "values.npy", tmp_path / "kept"

    def error(network, x):
        return (network(x) - torch.from_numpy(np.load(file))[: len(x)]).square().mean(-1)

    x, y = points()
    found = []
    for factor in (1, 2):
        np.save(file, factor * y.numpy())
        with pytest.warns(UserWarning, match="a is trained anew.*values.npy is read as it is"):
            settings = {"steps": 3, "progress": False, "checkpoint": folder / "a.pt"}
            found.append(fit(model(), error, x, **settings).losses)
    assert not torch.equal(*found) and not folder.exists()


class Counted(SIREN):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x) * self.calls


class Noted(SIREN):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.register_buffer("calls", torch.zeros(1), persistent=False)

    def forward(self, x):
        self.calls = self.calls + 1
        return super().forward(x) * self.calls


@pytest.mark.parametrize("network", [Counted, Noted])
def test_a_model_that_changes_beside_its_state_is_not_kept(tmp_path, network):
    """Taken up, it would be another than the one that was trained."""
    found = []
    for _ in range(2):
        with pytest.warns(UserWarning, match="in more than its state_dict holds"):
            done = run(tmp_path, model(network=network), checkpoint_seconds=0)
        found.append(done.model(points()[0]))
    assert torch.equal(*found) and not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_taken_up_is_in_use(tmp_path, monkeypatch):
    """It is told so, since not every file system notes that a file is read."""
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    before, told = file.stat().st_mtime_ns, []
    monkeypatch.setattr(os, "utime", lambda path, ns: told.append((path, *ns)))
    begin = time.time_ns()
    run(tmp_path)
    ((path, used, written),) = told
    assert (path, written) == (file, before) and begin <= used <= time.time_ns()


def test_a_reload_is_seen(monkeypatch):
    from inrkit.training import code, losses

    digest(1)
    monkeypatch.setattr(losses, "__spec__", object())
    with pytest.raises(Unhashable, match="losses was imported a second time; restart"):
        digest(1)
    assert code.SPECS["inrkit.training.losses"] is not losses.__spec__


class Malice:
    def __reduce__(self):
        return (os.mkdir, (os.environ["MALICE"],))


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.setenv("MALICE", str(tmp_path / "made"))
    run(tmp_path)
    (file,) = tmp_path.iterdir()
    torch.save({**torch.load(file), "step": Malice()}, file)
    with pytest.raises(checkpoints.CheckpointError, match="is damaged"):
        run(tmp_path)
    assert not (tmp_path / "made").exists()


def test_threads_share_nothing():
    """Two digests at once are those of one after the other."""
    values = [SIREN(2, 1, width=4), Regression(*points())]
    alone, together = [digest(value) for value in values], [None, None]

    def put(i):
        together[i] = digest(values[i])

    threads = [threading.Thread(target=put, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_no_warning_where_all_is_well(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path, checkpoint_seconds=0)
    assert np.isfinite(run(tmp_path).losses.numpy()).all()


def test_a_fit_is_named_alike_after_something_was_compiled():
    code = """
import torch
from inrkit.fields import SIREN
from inrkit.training.digest import digest
def name():
    torch.manual_seed(0)
    return digest((SIREN(2, 1, width=8), torch.optim.Adam))
before = name()
torch.compile(SIREN(2, 1, width=8), backend="eager")(torch.ones(3, 2)).sum().backward()
assert before == name()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
