"""An agent that learns to edit photographs: transforms, datasets, environment, networks, agent.

Needs neither Ray nor MLflow; `ray_cluster` trains what is defined here on many machines.
"""
