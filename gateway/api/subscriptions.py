"""Subscriptions: where outside systems want to be told of something, kept for them."""

from __future__ import annotations

from gateway.api import fields as f
from gateway.api.schemas import example
from gateway.api.section import CommandBody, Section
from processing import commands
from processing.subscribers import MAX_ADDRESS, MAX_SECRET, MAX_SUBSCRIBER, MAX_WISHES

section = Section("subscriptions", "Where outside systems want to be told of something")


class SubscribeSchema(CommandBody):
    makes = commands.Subscribe
    example = example(subscriber="site", address="https://shop.example/hooks", wishes='{"orders": ["Closed"]}')
    subscriber = f.text(MAX_SUBSCRIBER, required=True, describe="its name in the store", example="site")
    address = f.text(MAX_ADDRESS, 0, describe="empty: no more", example="https://shop.example/hooks")
    secret = f.text(MAX_SECRET, 0, describe="what it wants to be shown", example="a secret of its own")
    wishes = f.text(MAX_WISHES, 0, describe="what it wants to hear, in its own words", example="{}")


class SubscribedSchema(f.Told):
    is_on = f.told_switch("whether there is an address")
    at = f.told_at()


section.command("/subscriptions", SubscribeSchema, SubscribedSchema, "subscriptions:write", "Keep where to tell")
