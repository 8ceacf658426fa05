"""Datasets: photos degraded by known edits, on disk and in memory."""
