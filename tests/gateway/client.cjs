// OpenAI's own JavaScript client against our API: what it did, as one line of JSON a step.
//
//   node client.cjs     MODULES: the folder with the package; ADDRESS, KEY, NARROW: the API and
//                       two keys, for all of a team and for one deployment; MODEL: its name
const { createRequire } = require("node:module");
const OpenAI = createRequire(`${process.env.MODULES}/here.js`)("openai");
const { ADDRESS, KEY, NARROW, MODEL } = process.env;

const connect = (apiKey) => new OpenAI({ baseURL: ADDRESS, apiKey, maxRetries: 0, timeout: 280_000 });
const client = connect(KEY);
const HELLO = [{ role: "user", content: "Hello there" }];
const ask = (more = {}) => ({ model: MODEL, messages: HELLO, max_tokens: 12, ...more });
const chat = (more, options) => client.chat.completions.create(ask(more), options);
const answer = (more = {}) => ({ model: MODEL, input: "Hello there", max_output_tokens: 12, ...more });
const textOf = async (more) => (await chat(more)).choices[0].message.content;
const collect = async (list) => { const all = []; for await (const one of list) all.push(one); return all; };
const jobs = client.fineTuning.jobs;
const kept = {};

const refused = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code,
             param: error.param, message: error.message, wait: error.headers?.get("retry-after") };
  }
  return { kind: "nothing" };
};

const rows = Array.from({ length: 24 }, (_, n) => JSON.stringify({ messages: [
  { role: "user", content: `Question ${n}: is bicycle number ${n * 7} ready?` },
  { role: "assistant", content: n % 2 ? "repair_status" : "order" } ] })).join("\n") + "\n";
const file = (text, name = "shop.jsonl") => OpenAI.toFile(Buffer.from(text), name);

const steps = {
  async models() { return (await collect(client.models.list())).map((model) => model.id); },
  async one_model() { return (await client.models.retrieve(MODEL)).object; },
  async no_model() { return refused(client.models.retrieve("gpt-4o")); },
  async answer() { return chat(); },
  async parts() {
    const parts = [{ type: "text", text: "Hello " }, { type: "text", text: "there" }];
    return [await textOf({ messages: [{ role: "user", content: parts }] }), await textOf()];
  },
  async developer() {
    const told = (role) => textOf({ messages: [{ role, content: "Be brief." }, ...HELLO] });
    return [await told("developer"), await told("system")];
  },
  async several() { return (await chat({ n: 3, temperature: 1.5, seed: 5 })).choices.map((c) => c.index); },
  async stream() {
    const chunks = await collect(await chat({ stream: true }));
    const text = chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("");
    return { same: text === await textOf(), ids: new Set(chunks.map((chunk) => chunk.id)).size,
             end: chunks.at(-1).choices[0].finish_reason };
  },
  async usage() {
    const chunks = await collect(await chat({ stream: true, stream_options: { include_usage: true } }));
    return chunks.at(-1);
  },
  async helper() {
    const runner = client.chat.completions.stream(ask());
    return [await runner.finalContent(), await textOf()];
  },
  async left() {
    const stream = await chat({ stream: true, max_tokens: 400 });
    for await (const chunk of stream) if (chunk.choices[0].delta.content) break;
    return stream.controller.signal.aborted;
  },
  async aborted() {
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), 20);
    return refused(chat({ max_tokens: 400, n: 4 }, { signal: leaving.signal }));
  },
  async length() { return (await chat({ max_completion_tokens: 1, max_tokens: undefined })).choices[0].finish_reason; },
  async older() { return client.completions.create({ model: "starter", prompt: "Once upon", max_tokens: 4 }); },
  async request_id() { return (await chat())._request_id; },
  async bad() { return refused(chat({ temperature: 3 })); },
  async too_long() { return refused(chat({ messages: [{ role: "user", content: "word ".repeat(4000) }] })); },
  async no_key() { return refused(connect("ft-00000000-x").models.list()); },
  async narrow() { return refused(connect(NARROW).files.list()); },
  async narrow_other() {
    return refused(connect(NARROW).chat.completions.create(ask({ model: "starter" })));
  },
  async busy() {
    const poor = connect(NARROW);
    let last = { kind: "nothing" };
    for (let n = 0; n < 6 && last.kind !== "RateLimitError"; n++) last = await refused(poor.models.list());
    return last;
  },
  async not_served() { return refused(client.moderations.create({ input: "Hello" })); },
  async upload() { return kept.file = await client.files.create({ file: await file(rows), purpose: "fine-tune" }); },
  async file() { return (await client.files.retrieve(kept.file.id)).filename; },
  async processed() { return (await client.files.waitForProcessing(kept.file.id)).status; },
  async content() { return await (await client.files.content(kept.file.id)).text() === rows; },
  async files() { return (await collect(client.files.list())).length; },
  async no_file() { return refused(client.files.create({ file: await file(""), purpose: "fine-tune" })); },
  async job() {
    return kept.job = await jobs.create({ model: "starter", training_file: kept.file.id, suffix: "from-node",
      seed: 5, metadata: { who: "node" },
      method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1 } } } });
  },
  async job_again() { return (await jobs.retrieve(kept.job.id)).status; },
  async job_list() { return (await collect(jobs.list({ limit: 1 }))).map((job) => job.id === kept.job.id); },
  async events() { return (await collect(jobs.listEvents(kept.job.id))).map((event) => event.message); },
  async checkpoints() { return (await collect(jobs.checkpoints.list(kept.job.id))).length; },
  async pause() { return (await jobs.pause(kept.job.id)).status; },
  async resume() { return (await jobs.resume(kept.job.id)).status; },
  async twice() { return refused(jobs.resume(kept.job.id)); },
  async cancel() { return (await jobs.cancel(kept.job.id)).status; },
  async no_job() { return refused(jobs.create({ model: "gpt-4o", training_file: kept.file.id })); },
  async bad_file() {
    const bad = await client.files.create({ file: await file("nonsense\n"), purpose: "fine-tune" });
    return (await jobs.create({ model: "starter", training_file: bad.id })).error;
  },
  async in_parts() {
    const half = Math.floor(rows.length / 2);
    const upload = await client.uploads.create({ filename: "parts.jsonl", purpose: "fine-tune", bytes: rows.length,
      mime_type: "application/jsonl" });
    const parts = await Promise.all([rows.slice(0, half), rows.slice(half)].map(async (part) =>
      client.uploads.parts.create(upload.id, { data: await file(part) })));
    const done = await client.uploads.complete(upload.id, { part_ids: parts.map((part) => part.id) });
    return await (await client.files.content(done.file.id)).text() === rows;
  },
  async of_purpose() { return (await collect(client.files.list({ purpose: "fine-tune-results" }))).length; },
  async grade() {
    const grader = { type: "string_check", name: "same", input: "{{ sample.output_text }}", reference: "{{ item.wanted }}",
      operation: "eq" };
    return (await client.fineTuning.alpha.graders.run({ grader, model_sample: "Hi", item: { wanted: "Hi" } })).reward;
  },
  async response() {
    const reply = await client.responses.create(answer());
    return { same: reply.output_text === await textOf(), status: reply.status, stored: reply.store };
  },
  async response_stream() {
    const events = await collect(await client.responses.create(answer({ stream: true })));
    const text = events.filter((one) => one.type === "response.output_text.delta").map((one) => one.delta).join("");
    return { same: text === await textOf(), first: events[0].type, last: events.at(-1).type };
  },
  async response_form() {
    const schema = { type: "object", properties: { urgent: { type: "boolean" } }, required: ["urgent"],
                     additionalProperties: false };
    const format = { type: "json_schema", name: "ticket", strict: true, schema };
    const reply = await client.responses.parse(answer({ text: { format }, max_output_tokens: 200 }));
    return typeof reply.output_parsed.urgent;
  },
  async response_goes_on() {
    const first = await client.responses.create(answer({ store: true }));
    const next = await client.responses.create(answer({ input: "And now?", previous_response_id: first.id }));
    const items = await collect(client.responses.inputItems.list(next.id));
    const again = (await client.responses.retrieve(first.id)).output_text === first.output_text;
    return { before: next.previous_response_id === first.id, again, items: items.map((one) => one.content[0].text) };
  },
  async no_tools() {
    return refused(chat({ tools: [{ type: "function", function: { name: "opening_hours" } }] }));
  },
  async batch() {
    const lines = [1, 2].map((n) => JSON.stringify({ custom_id: `row-${n}`, method: "POST", url: "/v1/chat/completions",
      body: ask() })).join("\n") + "\n";
    const input = await client.files.create({ file: await file(lines, "rows.jsonl"), purpose: "batch" });
    const sent = await client.batches.create({ input_file_id: input.id, endpoint: "/v1/chat/completions",
      completion_window: "24h", metadata: { who: "node" } });
    const listed = (await collect(client.batches.list())).map((one) => one.id === sent.id);
    const { status } = await client.batches.retrieve(sent.id);
    return { object: sent.object, who: sent.metadata.who, status, listed, cancel: (await client.batches.cancel(sent.id)).status };
  },
  async bad_batch() {
    return refused(client.batches.create({ input_file_id: kept.file.id, endpoint: "/v1/chat/completions",
      completion_window: "24h" }));
  },
  async gone() { await client.files.delete(kept.file.id); return refused(client.files.retrieve(kept.file.id)); },
};

(async () => {
  for (const [name, step] of Object.entries(steps)) {
    let told;
    try { told = { got: await step() }; } catch (error) { told = { broke: String(error.stack) }; }
    console.log(JSON.stringify({ name, ...told }));
  }
})();
