"""Logged messages played again: scratch books with the wallets that they are about, as these stood at the begin.

``scratch`` makes the books, ``copies`` fills them from the live ones, ``elsewhere`` tells what came to the wallets by
other ways than the messages. The live books are read and never written.
"""

# No replay is longer: what is asked of a day or a week, not of a year.
MAX_MESSAGES = 100_000
