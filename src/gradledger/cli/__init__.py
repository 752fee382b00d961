"""The command line: parse, call the method of the ledger with the same name, show."""
