"""Export a tuned model to files that run without Finetune: merged safetensors, or GGUF."""
