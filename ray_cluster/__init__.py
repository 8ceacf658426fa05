"""Everything that imports Ray: dataset generation, rollout workers, replay, the learner, tracking."""
