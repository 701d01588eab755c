"""One logger for the library; only the command line gives it a handler."""

from __future__ import annotations

import logging

logger = logging.getLogger("rsseg")
