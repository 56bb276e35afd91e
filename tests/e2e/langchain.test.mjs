// LangChain's client against `spolia serve`.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { cachedWhenRepeated } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { ChatOpenAI, HumanMessage, SystemMessage } from './support/settings.mjs';

const kMessages = [
  new SystemMessage('You answer in one word.'),
  new HumanMessage('What swims in the river?'),
];

const chatOf = (server, options = {}) =>
  new ChatOpenAI({
    configuration: { baseURL: `${server.url}/v1` },
    apiKey: 'none',
    model: 'tiny',
    temperature: 0,
    maxTokens: 16,
    maxRetries: 0,
    ...options,
  });

test('invoke', async (t) => {
  const server = await Server.start(t);
  const answer = await chatOf(server).invoke(kMessages);
  assert.ok(answer.content.length > 0);
  const { input_tokens, output_tokens, total_tokens } = answer.usage_metadata;
  assert.ok(input_tokens > 0 && output_tokens > 0 && output_tokens <= 16);
  assert.equal(total_tokens, input_tokens + output_tokens);

  const again = await chatOf(server).invoke(kMessages);
  assert.equal(again.content, answer.content);
  assert.equal(again.usage_metadata.input_token_details.cache_read, cachedWhenRepeated(input_tokens));
});

test('stream', async (t) => {
  const server = await Server.start(t);
  const whole = await chatOf(server).invoke(kMessages);
  let joined;
  for await (const chunk of await chatOf(server).stream(kMessages)) {
    joined = joined ? joined.concat(chunk) : chunk;
  }
  assert.equal(joined.content, whole.content);
  assert.equal(joined.usage_metadata.input_tokens, whole.usage_metadata.input_tokens);
  assert.equal(joined.usage_metadata.output_tokens, whole.usage_metadata.output_tokens);
});

test('a RAG session with reuse', async (t) => {
  const server = await Server.start(t);
  const documents = ['otter', 'heron', 'beaver'].map((animal) => {
    const days = Array.from({ length: 12 }, (_, i) => `day ${i}: the ${animal} swam.`);
    return `Notes on the ${animal}. ${days.join(' ')}`;
  });
  await server.put('/v1/chunks', { texts: documents });
  const chat = chatOf(server, { modelKwargs: { spolia: { fidelity: 'fast' } } });
  const parts = [...documents.reverse(), 'Who swam?'].map((text) => ({ type: 'text', text }));
  const answer = await chat.invoke([new HumanMessage({ content: parts })]);
  assert.ok(answer.content.length > 0);
  const shifted = await server.metric('spolia_prompt_tokens_total{source="shifted"}');
  assert.ok(shifted > 0, `${shifted} tokens were shifted`);
});
