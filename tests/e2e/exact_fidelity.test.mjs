// Fidelity "exact": reuse of equal prefixes changes no answer.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  answerOf,
  cachedWhenRepeated,
  makeDocuments,
  makeRandom,
  makeSeed,
  makeText,
  ragRequest,
} from './support/prompts.mjs';
import { Server } from './support/server.mjs';

const kPrompts = 100;

// Requests whose prompts begin with some of the same documents in some order.
function makeRequests(random, maxTokens) {
  const documents = makeDocuments(random, 5, 20);
  return Array.from({ length: kPrompts }, () => {
    const chosen = random.shuffled(documents).slice(0, 1 + random.below(4));
    return ragRequest(chosen, makeText(random, 3), { max_tokens: maxTokens, ignore_eos: true });
  });
}

async function askAll(server, requests, nConnections) {
  const responses = [];
  let next = 0;
  const worker = async () => {
    while (next < requests.length) {
      const i = next++;
      responses[i] = await server.post('/v1/chat/completions', requests[i]);
    }
  };
  await Promise.all(Array.from({ length: nConnections }, worker));
  return responses;
}

const cachedOf = (response) => response.usage.prompt_tokens_details.cached_tokens;

async function compareWithFresh(t, nConnections, maxTokens) {
  const requests = makeRequests(makeRandom(makeSeed(t)), maxTokens);
  const reusing = await Server.start(t, { args: ['--fidelity', 'exact'] });
  const fresh = await Server.start(t, { args: ['--fidelity', 'exact'] });
  const salted = requests.map((request, i) => ({ ...request, cache_salt: `${i}` }));
  const [answers, expected] = await Promise.all([
    askAll(reusing, requests, nConnections),
    askAll(fresh, salted, nConnections),
  ]);

  assert.ok(expected.every((response) => cachedOf(response) === 0));
  const nReused = answers.filter((response) => cachedOf(response) > 0).length;
  assert.ok(nReused > kPrompts / 4, `only ${nReused} of ${kPrompts} prompts reused something`);
  const turned = answers.filter((response, i) => answerOf(response) !== answerOf(expected[i]));
  assert.equal(turned.length, 0, `${turned.length} answers differ`);

  for (const response of answers) {
    assert.equal(response.spolia.fidelity, 'exact');
    const { tokens } = response.spolia;
    assert.equal(tokens.exact, cachedOf(response));
    assert.equal(tokens.exact + tokens.computed, tokens.prompt);
  }
}

test('requests with shared prefixes get what a fresh server says', (t) =>
  compareWithFresh(t, 1, 8));

// First tokens only: four sequences that are decoded at once round otherwise than one.
test('parallel requests with shared prefixes begin as on a fresh server', (t) =>
  compareWithFresh(t, 4, 1));

test('a repeated request is served from exact rows', async (t) => {
  const random = makeRandom(makeSeed(t));
  const server = await Server.start(t, { args: ['--fidelity', 'exact'] });
  const request = ragRequest(makeDocuments(random, 2, 20), 'What was it?');
  const first = await server.post('/v1/chat/completions', request);
  assert.equal(cachedOf(first), 0);
  for (let i = 0; i < 3; ++i) {
    const again = await server.post('/v1/chat/completions', request);
    assert.equal(cachedOf(again), cachedWhenRepeated(first.usage.prompt_tokens));
    assert.equal(answerOf(again), answerOf(first));
  }
});

test('a prefix outlives its sequence', async (t) => {
  const random = makeRandom(makeSeed(t));
  const server = await Server.start(t, { args: ['--fidelity', 'exact', '--parallel', '1'] });
  const [mine, others] = makeDocuments(random, 2, 60);
  const request = ragRequest([mine], 'What was it?');
  const first = await server.post('/v1/chat/completions', request);
  await server.until(({ ram }) => ram.blocks > 0, 'a page is kept');
  await server.post('/v1/chat/completions', ragRequest([others], 'And this?'));
  const again = await server.post('/v1/chat/completions', request);
  assert.ok(cachedOf(again) >= 128, `only ${cachedOf(again)} tokens were kept`);
  assert.equal(answerOf(again), answerOf(first));
});
