"""The picture at the top of the README: ``python -m workflow.readme_figure`` (about two minutes on two cores)."""

from __future__ import annotations

from pathlib import Path

DAY = "2016-06-15"
PICTURE = Path(__file__).parents[1] / "book" / "_static" / "readme.png"


def main() -> None:
    """Fill the real cube with TsSMNet and draw one morning before and after."""
    from tssmnet import reconstruct
    from tssmnet.book.maps import map_fields
    from tssmnet.book.style import style
    from tssmnet.profiles import profile_cube

    cube = profile_cube("conus")
    filled = reconstruct(cube, model="tssmnet", seed=0)
    maps = {f"SMAP, morning of {DAY}": cube.ssm.sel(time=DAY), "filled by TsSMNet": filled.ssm.sel(time=DAY)}
    with style():
        figure = map_fields(maps, "ssm", size=15, width=8)
        figure.savefig(PICTURE, dpi=110, bbox_inches="tight")


if __name__ == "__main__":
    main()
