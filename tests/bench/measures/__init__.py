"""The measures by name, with the share of a whole run that each may take: seconds on a quiet machine of
two cores, repetitions included. Each is a function(bench) that yields Samples; its first line says what
it is."""

from collections.abc import Callable, Iterator

from measures.cold import cold
from measures.drain import drain
from measures.fate import status, wait, waiting
from measures.growth import growth
from measures.idle import idle
from measures.latency import latency
from measures.ledger import ledger
from measures.reads import reads, search
from measures.refresh import refresh
from measures.reindex import reindex
from measures.sustained import sustained
from measures.taking import accept, overload
from measures.viewers import viewers
from samples import Sample

MEASURES: dict[str, tuple[Callable[..., Iterator[Sample]], float]] = {
    "cold": (cold, 400),
    "accept": (accept, 220),
    "overload": (overload, 45),
    "drain": (drain, 400),
    "growth": (growth, 700),
    "sustained": (sustained, 200),
    "latency": (latency, 330),
    "reads": (reads, 120),
    "search": (search, 70),
    "status": (status, 40),
    "wait": (wait, 15),
    "waiting": (waiting, 60),
    "refresh": (refresh, 110),
    "ledger": (ledger, 170),
    "reindex": (reindex, 220),
    "viewers": (viewers, 125),
    "idle": (idle, 35),
}
