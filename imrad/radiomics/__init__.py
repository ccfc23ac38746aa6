"""Images and regions to radiomic features, with pyradiomics' names and values."""
