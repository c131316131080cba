"""The deployment of `template.yaml` on one machine: what `scripts/serve.py` and the tests run."""
