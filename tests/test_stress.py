"""The stress campaign: a small share of it finds nothing, and what is planted it finds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tssmnet.provenance import ROOT

PLANTED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import scenes as s, stress
from children import run
campaign = stress.Campaign(Path(sys.argv[1]), 0)
stage = campaign.stage("streamed")
log = stress.log_of(stage.trial)

def other_values(folder):
    s.reconstruct("climatology")(folder)

def without_observations(folder):
    from tssmnet.cube import open_dataset, write_dataset
    filled = open_dataset(folder / "out.zarr").load()
    filled["ssm"][:, :2] = 0.1
    write_dataset(filled, folder / "out.zarr")

def lost_chunk(folder):
    next((folder / "out.zarr" / "ssm" / "c").rglob("0/0")).unlink()

def left(folder):
    (folder / ".out.zarr.part").mkdir()

for plant in (lambda folder: 0, other_values, without_observations, lost_chunk, left):
    trial = stress.Trial("kills", "streamed", 0)
    stage.lay()
    run(lambda: stage.scene.act(stage.trial), log)
    run(lambda: plant(stage.trial), log)
    stage.check(trial)
    stage.sweep(trial)
    print(",".join(kind for kind, _ in trial.faults) or "nothing")
"""


def python(*arguments):
    command = [sys.executable, "-W", "ignore", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.slow
def test_a_small_share_of_the_campaign_finds_nothing(tmp_path):
    done = python("benchmarks/stress.py", "--quick", "--seed", "3", "--out", tmp_path / "stress.json")
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    result = json.loads((tmp_path / "stress.json").read_text())
    assert set(result["parts"]) == {"kills", "pairs", "flips", "cubes", "tables", "netcdf"}
    assert not any(result["totals"].values())
    assert result["whole"]
    assert result["stamp"]["commit"]


@pytest.mark.slow
def test_what_is_planted_in_an_output_is_found(tmp_path):
    done = python("-c", PLANTED, tmp_path, Path(ROOT) / "benchmarks")
    assert done.stdout.split() == ["nothing", "silent", "lost", "unreadable", "leftovers"], done.stderr
