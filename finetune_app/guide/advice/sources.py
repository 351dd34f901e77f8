"""The publications behind the rules; "judgement" is for rules without one."""

SOURCES: dict[str, str] = {
    "anthropic-prompting": "Anthropic, documentation: prompt engineering overview",
    "anthropic-retrieval": "Anthropic 2024, Introducing Contextual Retrieval",
    "anthropic-consistency": "Anthropic, documentation: increase output consistency",
    "balaguer": (
        "Balaguer et al. 2024, RAG vs Fine-tuning: Pipelines, Tradeoffs, and a Case Study on "
        "Agriculture"
    ),
    "biderman": "Biderman et al. 2024, LoRA Learns Less and Forgets Less",
    "gekhman": (
        "Gekhman et al. 2024, Does Fine-Tuning LLMs on New Knowledge Encourage Hallucinations?"
    ),
    "google-tuning": "Google, documentation: supervised fine-tuning for Gemini models",
    "lima": "Zhou et al. 2023, LIMA: Less Is More for Alignment",
    "openai-accuracy": "OpenAI, documentation: optimizing LLM accuracy",
    "openai-devday": "OpenAI DevDay 2023, A Survey of Techniques for Maximizing LLM Performance",
    "openai-evals": "OpenAI, documentation: model optimization (write evals first)",
    "openai-tuning": "OpenAI, documentation: fine-tuning best practices",
    "openai-structured": "OpenAI, documentation: structured outputs",
    "ovadia": (
        "Ovadia et al. 2024, Fine-Tuning or Retrieval? Comparing Knowledge Injection in LLMs"
    ),
    "szep": (
        "Szep et al. 2026, Unintended Memorization of Sensitive Information in Fine-Tuned "
        "Language Models"
    ),
    "judgement": "Our own judgement",
}
