"""What hosu measures about itself, each figure beside its peer's from the same run."""
