"""The starter models: trained from scratch on openly licensed photos, taught by larger pretrained models."""
