"""Every benchmark, each against the limit of the machine it runs on: ``make bench``.

Steps that are compared are timed in turn within one run, so that a busy machine slows all alike;
ratios are medians over rounds with their quartiles. What comes out is printed, and written to
``results/bench/<device>.csv`` with the circumstances beside it. Let nothing else run meanwhile.
"""

import argparse
import json
import os
import time
from datetime import datetime

import derivatives
import pandas as pd
import precision
import quality
import signals
import steps
import torch

from inrkit import paths
from inrkit.companion import machine

SECTIONS = {
    "steps": steps.rows,
    "signals": signals.rows,
    "derivatives": derivatives.rows,
    "quality": quality.rows,
    "precision": precision.rows,
}


def circumstances(device: str) -> dict:
    """What a reader must know to judge the numbers."""
    return {
        "device": machine.device(device),
        "threads": torch.get_num_threads(),
        "versions": machine.versions(),
        **machine.commit(),
        "date": datetime.now().strftime("%Y-%m-%d"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--models", nargs="+", help="steps of these alone; others' rows are kept")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, nothing is written")
    options = parser.parse_args()
    begin, about, tables = time.perf_counter(), circumstances(options.device), []
    for name in options.only:
        extra = {"models": options.models} if name == "steps" else {}
        for row in SECTIONS[name](torch.device(options.device), options.smoke, **extra):
            row = {"section": name, **row}
            tables.append(row)
            print(_line(row), flush=True)
    if not options.smoke:
        about["seconds"] = round(time.perf_counter() - begin)
        write(pd.DataFrame(tables), options, about)


def _line(row: dict) -> str:
    interval = f" ({row['low']:.3g} to {row['high']:.3g})" if row.get("low") is not None else ""
    bound = f"  [bound {row['bound']}]" if row.get("bound") else ""
    return f"{row['case']:>28}  {row['metric']}: {row['value']:.4g}{interval} {row['unit']}{bound}"


def write(table: pd.DataFrame, options: argparse.Namespace, about: dict) -> None:
    """Replace what was run, and keep what else an earlier run has left."""
    folder = paths.BENCH
    folder.mkdir(parents=True, exist_ok=True)
    kind = machine.device(options.device)["kind"]
    target, beside = folder / f"{kind}.csv", folder / f"{kind}.json"
    notes = json.loads(beside.read_text()) if beside.exists() else {}
    if target.exists():
        before, keys = pd.read_csv(target), ["section", "case"] if options.models else ["section"]
        run_again = pd.MultiIndex.from_frame(before[keys]).isin(
            pd.MultiIndex.from_frame(table[keys])
        )
        order = {case: place for place, case in enumerate(dict.fromkeys(before.case))}
        table = pd.concat([before[~run_again], table], ignore_index=True)
        table = table.sort_values("case", key=lambda cases: cases.map(order), kind="stable")
    notes |= dict.fromkeys(options.only, about)
    for path, text in ((target, table.to_csv(index=False)), (beside, json.dumps(notes, indent=1))):
        partial = path.with_name(path.name + ".part")
        partial.write_text(text)
        os.replace(partial, path)
    print(f"written to {target.relative_to(paths.ROOT)}")


if __name__ == "__main__":
    main()
