"""Model parts: tensors in, tensors out."""
