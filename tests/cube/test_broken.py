"""Cubes broken at random: what harms is refused in the library's own error, and nothing else is ever raised."""

import pytest
from broken_cubes import HARMFUL, broken_pair, refused


def outcomes(seeds):
    for seed in seeds:
        sound, broken, what = broken_pair(seed)
        assert not refused(sound), f"{what}: the sound one is refused"
        assert refused(broken), f"{what}: is accepted"


def test_each_way_to_break_a_cube_is_refused():
    outcomes(range(len(HARMFUL)))


@pytest.mark.slow
def test_three_hundred_broken_cubes_are_refused_and_as_many_sound_ones_read():
    outcomes(range(300))
