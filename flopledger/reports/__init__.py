"""Pure functions of an AuditReport: console, JSON, HTML."""
