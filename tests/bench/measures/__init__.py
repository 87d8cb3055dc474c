"""The measures by name, with the seconds that each may take in a whole run (samples repeat at least
three times within it). Each is a function(bench) that yields Samples; its first line says what it is."""

from collections.abc import Callable, Iterator

from measures.drain import drain, growth
from measures.idle import idle
from measures.reads import reads, search
from measures.refresh import refresh
from measures.sustained import sustained
from measures.taking import accept, overload
from samples import Sample

MEASURES: dict[str, tuple[Callable[..., Iterator[Sample]], float]] = {
    "accept": (accept, 65),
    "overload": (overload, 35),
    "drain": (drain, 130),
    "growth": (growth, 85),
    "sustained": (sustained, 110),
    "reads": (reads, 45),
    "search": (search, 20),
    "refresh": (refresh, 60),
    "idle": (idle, 20),
}
