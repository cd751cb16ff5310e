"""The core: what a loyalty programme is. Commands in, results out, one exact set of books between."""
