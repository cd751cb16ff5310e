"""``tillgate queue test``: what operators are told of a far side that has answered something else."""

from __future__ import annotations

import pytest

from adapters import iiko_cloud, onec_server
from adapters.contract import Adapter, Call, HttpReply, Link, Reply, Session
from gateway.delivery_policy import DeliverySettings
from gateway.talks import Outgoing, try_once
from processing.errors import BadReply
from tests.adapters.iiko_cloud.far_side import SECRETS as IIKO_SECRETS
from tests.adapters.iiko_cloud.far_side import link as iiko_link
from tests.adapters.onec_server.far_side import AT
from tests.adapters.onec_server.far_side import link as onec_link


class Proxy:
    """A transport that answers everything with a page of a proxy, as a success."""

    def call(self, told: Call, session: Session | None, deadline: float) -> Reply:
        return HttpReply(200, {"content-type": "text/html"}, b"<html>Sign in first</html>")

    def close(self) -> None:
        """There is nothing to close."""


@pytest.mark.parametrize(
    ("adapter", "link"),
    [(onec_server.ADAPTER, onec_link("ut11")), (iiko_cloud.ADAPTER, iiko_link())],
    ids=["onec_server", "iiko_cloud"],
)
def test_a_page_in_the_place_of_an_answer_is_a_bad_reply(adapter: Adapter, link: Link) -> None:
    out = Outgoing(link, adapter, DeliverySettings(), {**IIKO_SECRETS, "password": "x"}, lambda again: Proxy())  # type: ignore[arg-type,return-value]
    with pytest.raises(BadReply, match="json: expected one JSON document"):
        try_once(out, AT)
