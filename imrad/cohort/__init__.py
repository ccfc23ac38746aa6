"""The one AnnData convention: keys, barcodes, endpoints, assembly and validation."""
