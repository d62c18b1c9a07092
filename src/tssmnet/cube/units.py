"""Units as their text says: soil moisture by volume, temperatures in K, rain in mm d-1.

The text is read by ``pint`` with the unit registry of ``cf_xarray``. What is in the wanted unit already needs neither.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

KELVIN = "K"
MM_PER_DAY = "mm d-1"

_SPELLINGS = (
    (r"\bkelvins?\b", "kelvin"),
    (r"^deg(?:rees?)?[ _]?(?:c|celsius|centigrade)$", "degC"),
    (r"^deg(?:rees?)?[ _]?(?:f|fahrenheit)$", "degF"),
    (r"^deg(?:rees?)?[ _]?(?:k|kelvin)$", "kelvin"),
    (r"^fahrenheit$", "degF"),
    (r"\s+(?:of\s+)?water(?:\s+equivalent)?\b", ""),
)
"""What files write and the registry does not know: pattern and what it means; case is ignored."""


def is_by_volume(units: object) -> bool:
    """Whether soil moisture in these units is volume per volume, or a plain ratio.

    Examples
    --------
    >>> [is_by_volume(u) for u in ("m3 m-3", "cm**3/cm**3", "1", "%", "kg kg-1", "mm")]
    [True, True, True, False, False, False]
    """
    text = str(units).strip()
    if text in ("m3 m-3", "1"):
        return True
    unit = _parsed(text)
    by_length = bool(re.search(r"m|metre|meter", text)) and not re.search(r"g|mol", text)
    return bool(unit is not None and by_length and unit.dimensionless and _quantity(1.0, unit).to("").m == 1.0)


def to_kelvin(units: object) -> tuple[float, float] | None:
    """Factor and offset from a temperature in these units to K; None if they are none of an absolute temperature.

    Examples
    --------
    >>> to_kelvin("Kelvins"), to_kelvin("degC"), to_kelvin("delta_degC"), to_kelvin("mm")
    ((1.0, 0.0), (1.0, 273.15), None, None)
    """
    if units == KELVIN:
        return 1.0, 0.0
    unit = _parsed(str(units))
    if unit is None or dict(unit.dimensionality) != {"[temperature]": 1} or "delta" in str(unit):
        return None
    offset = _quantity(0.0, unit).to("kelvin").m
    return _rounded(_quantity(1.0, unit).to("kelvin").m - offset), _rounded(offset)


def to_mm_per_day(units: object) -> float | None:
    """Factor from rain in these units to mm d-1; an amount is that of the day. None if they are none of rain.

    Examples
    --------
    >>> [to_mm_per_day(u) for u in ("mm", "m", "kg m**-2 s**-1", "mm/hr", "K")]
    [1.0, 1000.0, 86400.0, 24.0, None]
    """
    if units == MM_PER_DAY:
        return 1.0
    unit = _parsed(str(units))
    if unit is None:
        return None
    amount = _quantity(1.0, unit)
    if "[mass]" in unit.dimensionality:
        amount = amount / _quantity(1000.0, _parsed("kg m-3"))
    if dict(amount.dimensionality) == {"[length]": 1}:
        return _rounded(amount.to("mm").m)
    if dict(amount.dimensionality) == {"[length]": 1, "[time]": -1}:
        return _rounded(amount.to("mm/day").m)
    return None


def is_rate(units: object) -> bool:
    """Whether these units are of something per time, such as the intensity of rain.

    Examples
    --------
    >>> [is_rate(u) for u in ("mm/hr", "kg m**-2 s**-1", "m", "nonsense")]
    [True, True, False, False]
    """
    unit = _parsed(str(units))
    return unit is not None and unit.dimensionality.get("[time]", 0) == -1


def are_known(units: object) -> bool:
    """Whether the text can be read as a unit at all."""
    return _parsed(str(units)) is not None


def _rounded(value: float) -> float:
    """Without the last bits that a chain of conversions leaves."""
    return float(f"{value:.12g}")


def _quantity(value: float, unit: Any) -> Any:
    from cf_xarray.units import units as registry

    return registry.Quantity(value, unit)


@lru_cache
def _parsed(text: str) -> Any:
    """The unit that a text means, None if it means none."""
    from cf_xarray.units import units as registry

    text = text.strip()
    for pattern, meaning in _SPELLINGS:
        text = re.sub(pattern, meaning, text, flags=re.IGNORECASE)
    if not text:
        return None
    try:
        return registry.parse_units(text)
    except Exception:  # the parser raises whatever Python's own tokens make it raise
        return None
