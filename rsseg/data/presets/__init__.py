"""Published data sets in the folders and codings in which they are handed out, one module a family."""
