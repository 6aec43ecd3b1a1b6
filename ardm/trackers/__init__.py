"""Where the figures, texts and pictures of a run can be looked at: TensorBoard, W&B, MLflow."""
