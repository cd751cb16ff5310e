"""Simulations: what a version of a programme would have cost with receipts that there were (docs/simulation.md).

``events`` is what is played, ``play`` plays it in scratch books, ``wallets`` opens their wallets. ``books`` reads the
receipts of a period by ``selects``, ``figures`` tells what it all came to.
"""
