"""What a process of `cnnspec soak` computes and compares, over and over."""
