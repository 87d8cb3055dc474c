"""The measures by name, with the share of a whole run that each may take: seconds on a quiet machine of
two cores, repetitions included. Each is a function(bench) that yields Samples; its first line says what
it is."""

from collections.abc import Callable, Iterator

from measures.drain import drain, growth
from measures.fate import status, wait, waiting
from measures.idle import idle
from measures.reads import reads, search
from measures.refresh import refresh
from measures.reindex import reindex
from measures.sustained import sustained
from measures.taking import accept, overload
from measures.viewers import viewers
from samples import Sample

MEASURES: dict[str, tuple[Callable[..., Iterator[Sample]], float]] = {
    "accept": (accept, 48),
    "overload": (overload, 30),
    "drain": (drain, 115),
    "growth": (growth, 125),
    "sustained": (sustained, 88),
    "reads": (reads, 52),
    "search": (search, 25),
    "status": (status, 40),
    "wait": (wait, 15),
    "waiting": (waiting, 60),
    "refresh": (refresh, 48),
    "reindex": (reindex, 200),
    "viewers": (viewers, 125),
    "idle": (idle, 30),
}
