"""Requests of many callers become batches of one juror."""
