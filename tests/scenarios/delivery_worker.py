"""A delivery worker as a process, for tests that kill it, and benchmarks: DATABASE_URL, far side's port, number of
links, batch, how many more links there are whose far side is away, and at which port they are (1: nobody listens)."""

from __future__ import annotations

import sys
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parents[2]))

from adapters import webhook
from adapters.contract import Link
from gateway import delivery, talks
from gateway.delivery import Delivery
from gateway.delivery_policy import DeliverySettings
from gateway.far_side import FarSide
from gateway.talks import Outgoing
from gateway.worker import stopped_by_signals, transport_of
from processing import directory
from processing.database import Database
from processing.execute import Core
from processing.secrets import load_vault
from tests.processing.books import KEYS, MOSCOW

POLICY = DeliverySettings(first_seconds=0, most_seconds=1, jitter_seconds=1, call_seconds=2, breaker_failures=3)


# Nobody listens there.
AWAY = 1


def links(port: int, count: int, batch: int, away: int, away_port: int) -> dict[str, Outgoing]:
    found = {}
    for n in range(count + away):
        far_side = FarSide(
            f"http://127.0.0.1:{port if n < count else away_port}",
            read_seconds=2 if n < count else 15,
            inner_addresses=(ip_network("127.0.0.0/8"),),
            secrets={"key": "a secret of sixteen or more"},
        )
        link = Link(f"link-{n}", MOSCOW, ZoneInfo("Europe/Moscow"), {"path": f"/link-{n}", "batch": batch})
        policy = POLICY if n < count else DeliverySettings()
        found[link.code] = Outgoing(
            link, webhook.ADAPTER, policy, far_side.secrets, partial(transport_of, far_side, link.code)
        )
    return found


def main() -> None:
    url, given = sys.argv[1], [int(each) for each in sys.argv[2:]]
    port, count, batch, away, away_port = given + [0, AWAY][len(given) - 3 :]
    # Hours of outage in seconds: leases end soon, and nobody sleeps long.
    talks.LEASE_MARGIN_SECONDS, delivery.IDLE_SECONDS, delivery.SWEEP_SECONDS = 0.5, 0.05, 1.0
    is_stopped = stopped_by_signals()
    database = Database(url)
    with database.transaction() as connection:
        vault = load_vault(connection, KEYS)
    with database.reading() as connection:
        core = Core(database, directory.load(connection, database.now(connection)), vault)
    Delivery(core, vault, links(port, count, batch, away, away_port), (), is_stopped).run()


if __name__ == "__main__":
    main()
