"""Pictures with labelled defects: readers, writers, saliency targets and synthetic defects."""
