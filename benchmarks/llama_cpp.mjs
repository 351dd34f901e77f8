// Lets llama.cpp answer, with nothing but what stands in a GGUF file: its chat template, its
// tokenizer, its marks that end an answer. Reads {modules, model, conversations, tokens, options,
// threads} as JSON on standard input, writes [{asked, answer, text, ended}] (token ids) on
// standard output.

import {readFileSync} from "node:fs";
import {pathToFileURL} from "node:url";

const given = JSON.parse(readFileSync(0, "utf8"));
const load = (file) => import(pathToFileURL(`${given.modules}/${file}`));
const {getLlama} = await load("node-llama-cpp/dist/index.js");
const {Template} = await load("@huggingface/jinja/dist/index.js");

const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: given.model});
const context = await model.createContext({contextSize: 2048, sequences: 1, threads: given.threads});
const sequence = context.getSequence();
const {chat_template, add_bos_token} = model.fileInfo.metadata.tokenizer;
const template = new Template(chat_template);

const answers = [];
for (const messages of given.conversations) {
  const text = template.render({
    messages, add_generation_prompt: true, bos_token: model.tokens.bosString,
    eos_token: model.tokens.eosString, ...given.options
  });
  const asked = model.tokenize(text, true);
  if (add_bos_token && asked[0] !== model.tokens.bos) asked.unshift(model.tokens.bos);
  const answer = [];
  let ended = false;
  for await (const token of sequence.evaluate(asked, {temperature: 0, yieldEogToken: true})) {
    answer.push(token);
    ended = model.isEogToken(token);
    if (ended || answer.length === given.tokens) break;
  }
  const said = ended ? answer.slice(0, -1) : answer;
  answers.push({asked: [...asked], answer, text: model.detokenize(said), ended});
  await sequence.clearHistory();
}
process.stdout.write(JSON.stringify(answers), () => process.exit(0));
