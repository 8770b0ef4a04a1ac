"""What the module calls runs with what 3D Slicer's own Python brings: numpy, scipy and SimpleITK."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

CODE = """
import sys


class Absent:
    names = {"torch", "nibabel", "matplotlib", "sklearn", "jinja2", "PIL", "pydicom", "dask", "monai"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)


sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
from readsfolder import GRID, ball, cohort
from BATNetLib.agreement import Options, adjudicate, agreement, find_regions, save, save_adjudicated
from BATNetLib.annotation.mirror import find_mirror_plane, mirror_copy
from BATNetLib.symmetry import MirrorPlane
from BATNetLib.annotation.propose import propose
from BATNetLib.annotation.store import Store
from BATNetLib.volume import Volume
import numpy as np
from pathlib import Path

root = Path(sys.argv[2])
store = cohort(root / "reads", cases=2)
result = agreement(store, None, Options(resamples=100))
assert result.words()
save(result, root / "out", warnings=[], report=False)
masks = {n: store.read(store.newest("P00", n))[0] for n in ("anna", "ben")}
plane = MirrorPlane.from_angles((0.0, 0.0, 0.0))
found = find_regions(masks, plane=plane)
final = adjudicate(masks, found, {r.number: True for r in found.regions}, by="cleo")
save_adjudicated(store, "P00", final, versions={"anna": 1, "ben": 1})
hu = np.where(ball((0.0, 22.0, -12.0), 14.0), 20, -1000).astype(np.int16)
ct = Volume(hu, GRID)
assert find_mirror_plane(ct) is None  # less than 100 mL is no body
mirror_copy(masks["anna"], plane, ct, None, None, "left")
suv = ct.with_array(np.full(GRID.shape, 2.0, np.float32))
assert propose(ct, masks["anna"], suv, "batnet").ml > 0
print("all of it")
"""


def test_mirror_proposals_and_agreement_need_nothing_more(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(HERE), str(tmp_path)],
        cwd=HERE.parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "all of it"
