"""How much memory may be used: sizes as people write them, and what the machine has."""

import os
import re
from pathlib import Path

from polyvae.errors import InputError

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_budget(memory: str | int | float | None) -> int:
    """Bytes that one large array may take.

    Args:
        memory: a number of bytes, or text such as "2GB", "500 MB" or "1.5GiB"; None for half of the machine's
            memory, or of what a batch system or container grants.

    Raises:
        InputError: if it is not a positive size.
    """
    if memory is None:
        return _machine_memory() // 2
    size = _parsed(memory) if isinstance(memory, str) else float(memory)
    if size is None or not 0 < size < float("inf"):
        raise InputError(f'`memory` must be a positive size, such as "2GB" or 500e6; got {memory!r}.')
    return int(size)


def _parsed(text: str) -> float | None:
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMGT]?)(I?)B?\s*", text, re.IGNORECASE)
    if match is None:
        return None
    number, unit, binary = match.groups()
    try:
        value = float(number)
    except ValueError:
        return None
    factor = _UNITS[unit.upper()]
    return value * (factor if not binary else 1024 ** list(_UNITS).index(unit.upper()))


def _machine_memory() -> int:
    sizes = (
        [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")] if hasattr(os, "sysconf") else [8 * 10**9]
    )
    for name in _CGROUP_LIMITS:
        try:
            sizes.append(int(Path(name).read_text(encoding="ascii")))
        except (OSError, ValueError):
            continue
    return min(sizes)
