"""A sample of `make soak` (tests/soak/episode.py): random kills and power cuts under traffic, judged from outside."""

import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "soak"))

from episode import FAULTS, Episode  # noqa: E402


@pytest.mark.parametrize("output", ["elasticsearch", "file"])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_episode(tmp_path, fault, output):
    verdict = Episode(tmp_path, 1, fault, output, lives=3, max_life_s=0.5).run()
    assert not verdict.problems, "\n".join(verdict.problems)
    assert verdict.faults == 3
