"""Programmes: what a receipt earns and costs. Pure rules over a receipt, a card, facts, a version and an instant.

``document`` is what a file says, ``compiled`` the same made ready, ``facts`` what is known of a card and its holder.
``decide`` asks ``discounts`` and ``points``, ``payment`` says how much points may pay, ``tiers`` who is in which tier,
``terms`` when points come and go, ``reasons`` why a rule did not fire. Places that are left for later: coupons and
stamps are gives of a rule with a counter (``facts.once`` is the first of them), referral and membership are events,
travel tables and coalition rates are ways to work out ``point_price_millionths`` per store.
"""
