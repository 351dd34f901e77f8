"""The sample dataset: the emails of a bike shop, sorted into three exact lines."""

from finetune_app.guide.sample.mailbox import DATA, Sample, new_wording, sample

__all__ = ["DATA", "Sample", "new_wording", "sample"]
