"""Everything that talks to Ray Tune, the Optuna storage or a study folder."""
