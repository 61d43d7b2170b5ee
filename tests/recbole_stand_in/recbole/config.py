"""Options."""


class Config(dict):
    """What is asked for, and what the benchmark reads."""

    def __init__(self, model, dataset, config_dict):
        super().__init__(config_dict, model=model, dataset=dataset)
        self.update(seed=3, reproducibility=True, MODEL_TYPE="general")
