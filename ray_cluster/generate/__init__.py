"""Generating datasets on Ray."""
