"""The command line: click, progress bars and exit codes; nothing else knows a terminal."""
