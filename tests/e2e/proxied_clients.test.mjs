// Clients that people use, through Spolia to a real llama-server and to a stub of vLLM.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { LlamaServer, slotFolder } from './support/llama_server.mjs';
import { makeDocuments, makeRandom, makeSeed } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import {
  ChatOpenAI,
  createOpenAICompatible,
  generateText,
  HumanMessage,
  streamText,
} from './support/settings.mjs';
import { VllmStub } from './support/vllm_stub.mjs';

async function llamaServer(t) {
  const folder = slotFolder(t);
  const llama = await LlamaServer.start(t, { folder });
  const server = await Server.start(t, {
    named: ['--upstream', llama.url, '--upstream-kind', 'llama-server'],
    args: ['--slot-dir', folder, '--fidelity', 'fast', '--policy', 'none'],
  });
  await server.untilLogged('put into the llama-server');
  return server;
}

async function vllm(t) {
  const stub = await VllmStub.start(t, { model: 'tiny' });
  return Server.start(t, { named: ['--upstream', stub.url, '--upstream-kind', 'openai'] });
}

// Each answers in one piece and as a stream; both texts are returned.
const clients = {
  async openai(server, content) {
    const request = { model: 'tiny', max_tokens: 8, messages: [{ role: 'user', content }] };
    const { completions } = server.client().chat;
    const whole = await completions.create(request);
    let streamed = '';
    for await (const chunk of await completions.create({ ...request, stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? '';
    }
    return [whole.choices[0].message.content, streamed];
  },

  async langchain(server, content) {
    const chat = new ChatOpenAI({
      model: 'tiny',
      apiKey: 'none',
      maxTokens: 8,
      maxRetries: 0,
      configuration: { baseURL: `${server.url}/v1` },
    });
    const message = new HumanMessage({ content });
    const whole = await chat.invoke([message]);
    let streamed = '';
    for await (const chunk of await chat.stream([message])) streamed += chunk.content;
    return [whole.content, streamed];
  },

  async ai(server, content) {
    const provider = createOpenAICompatible({ name: 'spolia', baseURL: `${server.url}/v1` });
    const request = {
      model: provider('tiny'),
      maxOutputTokens: 8,
      maxRetries: 0,
      messages: [{ role: 'user', content }],
    };
    const whole = await generateText(request);
    let streamed = '';
    for await (const text of streamText(request).textStream) streamed += text;
    return [whole.text, streamed];
  },
};

for (const [behind, start] of Object.entries({ llamaServer, vllm })) {
  describe(`in front of ${behind}`, () => {
    for (const [name, ask] of Object.entries(clients)) {
      test(name, async (t) => {
        const documents = makeDocuments(makeRandom(makeSeed(t)), 3);
        const server = await start(t);
        const content = [...documents, 'What is it?'].map((text) => ({ type: 'text', text }));
        if (behind === 'llamaServer') await server.put('/v1/chunks', { texts: documents });
        for (const text of await ask(server, content)) assert.ok(text.length > 0);
        if (behind === 'llamaServer') {
          await server.untilMetric('spolia_handovers_total{result="taken"}', 2);
        }
      });
    }
  });
}
