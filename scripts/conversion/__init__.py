"""Source models -> model folders: loaded, exported to ONNX, verified against their source, carded."""
