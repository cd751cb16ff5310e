"""Everything that touches the outside: HTTP, the exchange log, configuration, the command line."""
