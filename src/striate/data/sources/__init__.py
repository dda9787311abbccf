"""Where data sets come from, one format a file."""
