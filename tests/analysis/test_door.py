"""A folder of records opens on a laptop: no torch, no Ray, no plotly."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
WEST = ("torch", "ray", "transformers", "plotly", "datasets")


def test_importing_the_analysis_loads_none_of_the_west_wing() -> None:
    code = (
        "import sys, warnings, logging, os\n"
        "before = (dict(os.environ), list(logging.getLogger().handlers))\n"
        "import raysearch.analysis\n"
        "assert before == (dict(os.environ), list(logging.getLogger().handlers))\n"
        f"print(sorted({{m.split('.')[0] for m in sys.modules}} & set({WEST!r})))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert out.stdout.strip() == "[]"


def test_the_face_names_what_it_holds() -> None:
    import raysearch.analysis as analysis

    assert analysis.__all__ == sorted(analysis.__all__, key=lambda n: (n[0].islower(), n))
    assert all(hasattr(analysis, name) for name in analysis.__all__)
    lines = Path(str(analysis.__file__)).read_text().splitlines()
    assert len(lines) < 40
