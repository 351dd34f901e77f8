// Several streams of llama.cpp at once. argv: modules, GGUF file, sequences, threads. Reads
// {id, prompt (token ids), tokens} as JSON lines on standard input; writes {id, first: true} with
// the first token of each and {id, tokens} at its end.

import {createInterface} from "node:readline";
import {pathToFileURL} from "node:url";

const [modules, gguf, sequences, threads] = process.argv.slice(2);
const {getLlama} = await import(pathToFileURL(`${modules}/node-llama-cpp/dist/index.js`));
const llama = await getLlama({gpu: false, build: "never", logLevel: "error"});
const model = await llama.loadModel({modelPath: gguf});
const context = await model.createContext({
  contextSize: 512, sequences: Number(sequences), threads: Number(threads)
});
const free = Array.from({length: Number(sequences)}, () => context.getSequence());
const say = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function answer({id, prompt, tokens}) {
  const sequence = free.pop(); // there are as many as streams
  let written = 0;
  for await (const token of sequence.evaluate(prompt, {temperature: 0, yieldEogToken: true})) {
    if (!written++) say({id, first: true});
    if (model.isEogToken(token) || written === tokens) break;
  }
  await sequence.clearHistory();
  free.push(sequence);
  say({id, tokens: written});
}

say({ready: true});
for await (const line of createInterface({input: process.stdin})) answer(JSON.parse(line));
process.exit(0);
