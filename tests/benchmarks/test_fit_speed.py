"""The benchmark runs, and its two loops follow one loss curve."""

import re
import subprocess
import sys

from inrkit import paths


def test_the_speed_of_fit_is_printed():
    script = paths.ROOT / "benchmarks" / "fit_speed.py"
    command = [sys.executable, str(script), "--rounds", "1", "--size", "24"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"fit takes \d+\.\d\d times as many steps", done.stdout)
    difference = float(re.search(r"differ by (\S+) at most", done.stdout)[1])
    assert difference < 1e-4
