"""The cluster: joining or starting one, who runs where, and being told to stop."""
