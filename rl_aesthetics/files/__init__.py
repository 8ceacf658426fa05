"""Files: whole or not at all, folders that appear by rename, logins taken out of what is written."""
