//! The table of dialects, in the order in which they are asked.

/// What a row of the table cannot say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    None,
    ClaudeCode,
    GeminiCli,
    Laminar,
    LiveKit,
    VercelAi,
    VoltAgent,
}

/// How one instrumentation names things.
#[derive(Debug)]
pub(super) struct Dialect {
    /// Where the kind of a span stands.
    pub(super) kind: &'static [&'static str],
    /// The kinds with MLflow's types.
    pub(super) kinds: &'static [(&'static str, &'static str)],
    pub(super) inputs: &'static [&'static str],
    pub(super) outputs: &'static [&'static str],
    /// Input, output, total, read from a cache, written to a cache.
    pub(super) tokens: [&'static [&'static str]; 5],
    pub(super) models: &'static [&'static str],
    pub(super) provider: Option<&'static str>,
    pub(super) tools: &'static [&'static str],
    pub(super) special: Special,
}

const NOTHING: Dialect = Dialect {
    kind: &[],
    kinds: &[],
    inputs: &[],
    outputs: &[],
    tokens: [&[]; 5],
    models: &[],
    provider: None,
    tools: &[],
    special: Special::None,
};

const OPEN_INFERENCE: Dialect = Dialect {
    kind: &["openinference.span.kind"],
    kinds: &[
        ("TOOL", "TOOL"),
        ("CHAIN", "CHAIN"),
        ("LLM", "LLM"),
        ("RETRIEVER", "RETRIEVER"),
        ("EMBEDDING", "EMBEDDING"),
        ("AGENT", "AGENT"),
        ("RERANKER", "RERANKER"),
        ("UNKNOWN", "UNKNOWN"),
        ("GUARDRAIL", "GUARDRAIL"),
        ("EVALUATOR", "EVALUATOR"),
    ],
    inputs: &["input.value"],
    outputs: &["output.value"],
    tokens: [
        &["llm.token_count.prompt"],
        &["llm.token_count.completion"],
        &["llm.token_count.total"],
        &["llm.token_count.prompt_details.cache_read"],
        &["llm.token_count.prompt_details.cache_write"],
    ],
    models: &["llm.response.model_name", "llm.model_name", "llm.request.model_name", "embedding.model_name"],
    provider: Some("llm.provider"),
    ..NOTHING
};

/// The semantic conventions of OpenTelemetry itself.
const GEN_AI: Dialect = Dialect {
    kind: &["gen_ai.operation.name"],
    kinds: &[
        ("chat", "CHAT_MODEL"),
        ("create_agent", "AGENT"),
        ("embeddings", "EMBEDDING"),
        ("execute_tool", "TOOL"),
        ("generate_content", "LLM"),
        ("invoke_agent", "AGENT"),
        ("text_completion", "LLM"),
        ("response", "LLM"),
    ],
    inputs: &["gen_ai.input.messages", "gen_ai.tool.call.arguments"],
    outputs: &["gen_ai.output.messages", "gen_ai.tool.call.result"],
    tokens: [
        &["gen_ai.usage.input_tokens"],
        &["gen_ai.usage.output_tokens"],
        &[],
        &["gen_ai.usage.cache_read.input_tokens"],
        &["gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"],
    ],
    models: &["gen_ai.response.model", "gen_ai.request.model"],
    provider: Some("gen_ai.provider.name"),
    tools: &["gen_ai.tool.definitions"],
    special: Special::None,
};

const GEMINI_CLI: Dialect = Dialect {
    kinds: &[("llm_call", "LLM"), ("tool_call", "TOOL"), ("agent_call", "AGENT")],
    special: Special::GeminiCli,
    ..GEN_AI
};

const CLAUDE_CODE: Dialect = Dialect {
    kinds: &[
        ("claude_code.interaction", "AGENT"),
        ("claude_code.llm_request", "LLM"),
        ("claude_code.tool", "TOOL"),
    ],
    tokens: [&["input_tokens"], &["output_tokens"], &[], &["cache_read_tokens"], &["cache_creation_tokens"]],
    special: Special::ClaudeCode,
    ..NOTHING
};

const TRACELOOP: Dialect = Dialect {
    kind: &["traceloop.span.kind"],
    kinds: &[
        ("workflow", "WORKFLOW"),
        ("task", "TASK"),
        ("agent", "AGENT"),
        ("tool", "TOOL"),
        ("unknown", "UNKNOWN"),
    ],
    inputs: &[
        "traceloop.entity.input",
        "gen_ai.prompt.#.content",
        "gen_ai.completion.#.tool_calls.#.arguments",
    ],
    outputs: &["traceloop.entity.output", "gen_ai.completion.#.content"],
    tokens: [
        &["gen_ai.usage.prompt_tokens"],
        &["gen_ai.usage.completion_tokens"],
        &["llm.usage.total_tokens"],
        &[],
        &[],
    ],
    provider: Some("gen_ai.system"),
    ..NOTHING
};

const GOOGLE_ADK: Dialect = Dialect {
    inputs: &["gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"],
    outputs: &["gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"],
    ..NOTHING
};

const VERCEL_AI: Dialect = Dialect {
    kind: &["ai.operationId"],
    kinds: &[
        ("ai.generateText", "LLM"),
        ("ai.generateText.doGenerate", "LLM"),
        ("ai.toolCall", "TOOL"),
        ("ai.streamText", "LLM"),
        ("ai.streamText.doStream", "LLM"),
        ("ai.generateObject", "LLM"),
        ("ai.generateObject.doGenerate", "LLM"),
        ("ai.streamObject", "LLM"),
        ("ai.streamObject.doStream", "LLM"),
        ("ai.embed", "EMBEDDING"),
        ("ai.embed.doEmbed", "EMBEDDING"),
        ("ai.embedMany", "EMBEDDING"),
    ],
    inputs: &["ai.prompt", "ai.toolCall.args", "ai.value", "ai.values"],
    outputs: &[
        "ai.response.text",
        "ai.toolCall.result",
        "ai.response.object",
        "ai.embedding",
        "ai.embeddings",
    ],
    special: Special::VercelAi,
    ..NOTHING
};

/// A child has the type of its agent under `entity.type`, so its own is asked first.
const VOLT_AGENT: Dialect = Dialect {
    kind: &["span.type", "entity.type"],
    kinds: &[("agent", "AGENT"), ("llm", "LLM"), ("tool", "TOOL"), ("memory", "MEMORY")],
    inputs: &["agent.messages", "llm.messages", "input"],
    outputs: &["output"],
    tokens: [
        &["usage.prompt_tokens", "llm.usage.prompt_tokens"],
        &["usage.completion_tokens", "llm.usage.completion_tokens"],
        &["usage.total_tokens", "llm.usage.total_tokens"],
        &[],
        &[],
    ],
    special: Special::VoltAgent,
    ..NOTHING
};

const LIVE_KIT: Dialect = Dialect {
    inputs: &["lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text"],
    outputs: &["lk.response.text", "lk.response.function_calls"],
    special: Special::LiveKit,
    ..GEN_AI
};

const LAMINAR: Dialect = Dialect {
    kind: &["lmnr.span.type"],
    kinds: &[
        ("LLM", "LLM"),
        ("TOOL", "TOOL"),
        ("DEFAULT", "CHAIN"),
        ("PIPELINE", "CHAIN"),
        ("EXECUTOR", "AGENT"),
        ("EVALUATOR", "EVALUATOR"),
        ("HUMAN_EVALUATOR", "EVALUATOR"),
        ("EVALUATION", "EVALUATOR"),
        ("CACHED", "LLM"),
    ],
    inputs: &["lmnr.span.input"],
    outputs: &["lmnr.span.output"],
    tokens: [&["gen_ai.usage.input_tokens"], &["gen_ai.usage.output_tokens"], &[], &[], &[]],
    models: &["gen_ai.response.model", "gen_ai.request.model"],
    provider: Some("gen_ai.system"),
    special: Special::Laminar,
    ..NOTHING
};

const LANGFUSE: Dialect = Dialect {
    kind: &["langfuse.observation.type"],
    kinds: &[
        ("generation", "LLM"),
        ("embedding", "EMBEDDING"),
        ("tool", "TOOL"),
        ("retriever", "RETRIEVER"),
        ("agent", "AGENT"),
        ("chain", "CHAIN"),
        ("evaluator", "EVALUATOR"),
        ("guardrail", "GUARDRAIL"),
        ("span", "UNKNOWN"),
    ],
    inputs: &["langfuse.observation.input"],
    outputs: &["langfuse.observation.output"],
    ..NOTHING
};

/// Spring AI is not among them: what it adds to the semantic conventions stands in events.
pub(super) const DIALECTS: [Dialect; 11] = [
    OPEN_INFERENCE,
    GEMINI_CLI,
    CLAUDE_CODE,
    GEN_AI,
    TRACELOOP,
    GOOGLE_ADK,
    VERCEL_AI,
    VOLT_AGENT,
    LIVE_KIT,
    LAMINAR,
    LANGFUSE,
];
