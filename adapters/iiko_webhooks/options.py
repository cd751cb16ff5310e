"""What a link for iiko's webhooks may set. Table with reasons: docs/adapters/iiko_webhooks.md, "Options"."""

from __future__ import annotations

from marshmallow import RAISE, Schema, fields, validate

from adapters.iiko.options import UUID, identity

# Whose orders are booked: nobody's, those of guests whom iikoCard does not know, or all.
NONE, ONE_TIME, ALL = "none", "one_time", "all"
MAX_PAYMENT_TYPES = 100


class WebhookOptions(Schema):
    """Loads into a mapping in which every option has its value."""

    class Meta:
        unknown = RAISE

    book = fields.String(validate=validate.OneOf((NONE, ONE_TIME, ALL)), load_default=NONE)
    organization = identity()
    not_own_money = fields.List(
        fields.String(validate=validate.Regexp(rf"{UUID}\Z")),
        load_default=list,
        validate=validate.Length(0, MAX_PAYMENT_TYPES),
    )
