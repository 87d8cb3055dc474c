"""The verdict: the ledger held against PostgreSQL, Elasticsearch, the dead-letter queue and the cache.

An order is traced by its unique product name. Every finding is listed by id or name.
"""

import collections
import dataclasses
from decimal import Decimal

from ledger import Ledger

SHOWN = 10


@dataclasses.dataclass(frozen=True)
class Stored:
    name: str
    amount: Decimal


@dataclasses.dataclass(frozen=True)
class Dead:
    name: str
    headers: dict


@dataclasses.dataclass
class Contents:
    """What the stores hold of one run."""

    rows: dict[str, list[Stored]]  # by id
    documents: dict[str, Stored]
    dead: list[Dead]
    cached_names: set[str]  # readable from the cache for longer than provisionally


@dataclasses.dataclass
class Verdict:
    findings: dict[str, list[str]]  # kind: what it is about

    def count(self, kind: str) -> int:
        return len(self.findings[kind])

    @property
    def clean(self) -> bool:
        return not any(self.findings.values())

    def describe(self) -> str:
        lines = []
        for kind, items in self.findings.items():
            if items:
                lines.append(f"{kind}: {len(items)}")
                lines += [f"  {item}" for item in items[:SHOWN]]
                lines += ["  …"] * (len(items) > SHOWN)
        return "\n".join(lines)


def judge(
    ledger: Ledger,
    contents: Contents,
    expected_dead: frozenset[str] = frozenset(),
    excused: frozenset[str] = frozenset(),
) -> Verdict:
    """`expected_dead`: names that the scenario made unacceptable to a store; `excused`: names that it
    destroyed itself."""
    rows, documents = contents.rows, contents.documents
    dead_names = {letter.name for letter in contents.dead}
    findings = {
        "lost": [],
        "spurious": [],
        "duplicates": [],
        "documents without row": [order_id for order_id in documents if order_id not in rows],
        "rows without document": [],
        "altered": [],
        "healthy dead-lettered": [],
        "refused but readable": [],
        "contradictory answers": list(ledger.contradictions),
    }

    accepted = {entry.order_id: entry for entry in ledger.accepted}
    for order_id, entry in accepted.items():
        if entry.name in excused or entry.name in dead_names:
            continue
        if order_id not in rows:
            findings["lost"].append(f"{order_id} ({entry.name}): no row")
        elif order_id not in documents:
            findings["lost"].append(f"{order_id} ({entry.name}): no document")

    ids_of = collections.defaultdict(set)
    for order_id, stored in rows.items():
        row = stored[0]
        ids_of[row.name].add(order_id)
        if len(stored) > 1:
            findings["duplicates"].append(f"{order_id}: {len(stored)} rows")
        if order_id not in documents and row.name not in dead_names | excused:
            findings["rows without document"].append(f"{order_id} ({row.name})")
        if order_id in documents and documents[order_id] != row:
            findings["altered"].append(f"{order_id}: row {row}, document {documents[order_id]}")
        if order_id in accepted and accepted[order_id].name != row.name:
            findings["altered"].append(f"{order_id}: asked {accepted[order_id].name!r}, stored {row}")
            continue
        entry = ledger.entries.get(row.name)
        if entry is None or entry.refused:
            if row.name not in expected_dead:
                findings["spurious"].append(f"{order_id} ({row.name})")
        elif row.amount != entry.amount:
            findings["altered"].append(f"{order_id} ({row.name}): asked {entry.amount}, stored {row.amount}")
    findings["duplicates"] += [f"{name}: {sorted(ids)}" for name, ids in ids_of.items() if len(ids) > 1]

    findings["healthy dead-lettered"] = [
        f"{letter.name}: {letter.headers}" for letter in contents.dead if letter.name not in expected_dead
    ]
    refused = {entry.name for entry in ledger.refused}
    findings["refused but readable"] = sorted(refused & contents.cached_names)
    return Verdict(findings)
