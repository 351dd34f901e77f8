"""A tuned model as one file that runs without Finetune: merged safetensors, or GGUF."""
