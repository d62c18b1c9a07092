"""One module per product: from the provider's file to arrays."""
