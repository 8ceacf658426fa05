"""From the configuration to what a run needs to know: task, network options, values' ranges."""
