"""Training and distilling the pocket juror."""
