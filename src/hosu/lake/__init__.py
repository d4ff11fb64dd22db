"""The lake: Delta tables in a folder or on S3, their one committer, SQL over them, and their upkeep."""
