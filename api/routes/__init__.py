"""REST under /api/v1, a file a noun. A handler is three moves: parse, one service call, render."""
