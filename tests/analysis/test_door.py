"""The face of the analysis: what it names. What it loads: tests/test_doors.py."""

from pathlib import Path


def test_the_face_names_what_it_holds() -> None:
    import raysearch.analysis as analysis

    assert analysis.__all__ == sorted(analysis.__all__, key=lambda n: (n[0].islower(), n))
    assert all(hasattr(analysis, name) for name in analysis.__all__)
    lines = Path(str(analysis.__file__)).read_text().splitlines()
    assert len(lines) < 40
