"""Networks in ONNX files: reading, writing, and running them with onnxruntime."""
