"""Hours: who works how long on what, for a small consultancy."""
