"""One file a product: from a provider's file to arrays."""
