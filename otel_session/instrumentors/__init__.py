"""The rooms that know a framework; each is imported only where its framework is."""
