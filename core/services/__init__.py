"""The verbs: every change of state, with its check, its transaction and its audit event."""
