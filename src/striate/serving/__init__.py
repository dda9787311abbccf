"""`striate serve`: a network that answers requests over HTTP."""
