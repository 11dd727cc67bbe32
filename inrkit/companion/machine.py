"""Where a number was measured: device, versions, commit, memory."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from inrkit import paths

try:
    import resource
except ImportError:  # Windows
    resource = None


def device(requested: str | None = None) -> dict[str, str]:
    """Kind ("cpu", "cuda", "mps") and human name of the device that ``requested`` stands for."""
    if is_gpu(requested):
        import torch  # slow to import, and not needed for a notebook that uses none of it

        index = torch.device("cuda" if requested == "auto" else requested).index
        return {"kind": "cuda", "name": torch.cuda.get_device_name(index)}
    return {"kind": "mps" if requested == "mps" else "cpu", "name": _processor()}


def is_gpu(requested: str | None) -> bool:
    """Whether "cpu", "cuda", "cuda:1", "auto", ... stands for a CUDA device here."""
    if requested == "auto":
        import torch

        return torch.cuda.is_available()
    return str(requested).startswith("cuda")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {cores()} cores"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> int:
    """Threads of PyTorch, or those allowed where it is not imported."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else int(os.environ.get("OMP_NUM_THREADS", cores()))


def versions() -> dict[str, str]:
    """Versions of Python, PyTorch and NumPy."""
    found = {"python": platform.python_version()}
    for name in ("torch", "numpy"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def commit() -> dict[str, str | bool | None]:
    """The commit of the working tree, and whether it held nothing else (results set aside)."""
    head = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":(exclude)results")
    return {"commit": head, "clean": None if changed is None else changed == ""}


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(paths.ROOT), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def peak_memory() -> dict[str, float]:
    """Peak resident memory of this process, and of the GPU where it was used, in MiB."""
    peak = {}
    if resource is not None:
        unit = 2**20 if sys.platform == "darwin" else 2**10  # getrusage: bytes there, KiB elsewhere
        peak["process"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        peak["gpu"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return peak
