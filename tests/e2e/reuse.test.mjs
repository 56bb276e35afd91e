// Reuse of known chunks anywhere in a prompt, seen from outside.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import {
  answerOf,
  cachedWhenRepeated,
  makeDocuments,
  makeRandom,
  makeSeed,
  ragRequest,
  tokensAccounted,
} from './support/prompts.mjs';
import { Server } from './support/server.mjs';

const kFast = { fidelity: 'fast' };

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const plannedTokens = (plan, action) =>
  sum(plan.parts.filter((part) => part.action === action).map(({ begin, end }) => end - begin));
const planOf = (server, request, options) => server.post('/v1/plan', request, options);

// Asks, and checks what holds of every answer.
async function ask(server, request, { key } = {}) {
  const { status, headers, body } = await server.ask('POST', '/v1/chat/completions', request, {
    key,
  });
  assert.equal(status, 200, JSON.stringify(body));
  const { tokens, policy, chunks } = body.spolia;
  assert.equal(tokensAccounted(body), tokens.prompt);
  assert.equal(tokens.prompt, body.usage.prompt_tokens);
  assert.equal(tokens.exact, body.usage.prompt_tokens_details.cached_tokens);
  assert.ok(chunks.hit <= chunks.total);
  assert.equal(headers.get('x-spolia-policy'), policy);
  assert.equal(headers.get('x-spolia-exact'), `${tokens.exact}`);
  assert.equal(headers.get('x-spolia-reused'), `${tokens.shifted}`);
  assert.equal(headers.get('x-spolia-computed'), `${tokens.blended + tokens.computed}`);
  return body;
}

describe('registered documents in a new order, with policy', () => {
  for (const policy of ['none', 'epic', 'cacheblend', 'full']) {
    test(policy, async (t) => {
      const random = makeRandom(makeSeed(t));
      const documents = makeDocuments(random, 5);
      const request = ragRequest(random.shuffled(documents), 'What is it?', {
        spolia: { ...kFast, policy },
      });
      // The cost model has measured nothing yet, so that it turns no reuse down.
      const server = await Server.start(t);
      const { data } = await server.put('/v1/chunks', { texts: documents, name: 'notes' });
      assert.equal(data.length, documents.length);
      assert.ok(data.every(({ encoded, tier, name }) => encoded && tier && name === 'notes'));

      const plan = await planOf(server, request);
      const answer = await ask(server, request);
      const { tokens, chunks } = answer.spolia;
      assert.equal(answer.spolia.policy, policy);
      assert.equal(answer.spolia.fidelity, 'fast');
      assert.deepEqual(chunks, { total: documents.length, hit: documents.length });
      assert.deepEqual(answer.spolia.misses, []);
      assert.equal(tokens.exact, 0);

      assert.equal(plan.policy, policy);
      assert.equal(plannedTokens(plan, 'reuse'), tokens.shifted + tokens.blended);
      assert.equal(plannedTokens(plan, 'compute'), tokens.computed);
      const planned = new Set(plan.parts.map((part) => part.key));
      assert.ok(data.every(({ key }) => planned.has(key)));

      assert.equal(tokens.shifted > 0, policy !== 'full');
      assert.equal(tokens.blended > 0, policy !== 'none');

      const again = await Server.start(t);
      await again.put('/v1/chunks', { texts: documents });
      assert.equal(answerOf(await ask(again, request)), answerOf(answer));
    });
  }
});

test('everything recomputed says what a dense prefill says', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 4);
  const server = await Server.start(t);
  await server.put('/v1/chunks', { texts: documents });
  const request = ragRequest(random.shuffled(documents), 'What is it?', { max_tokens: 4 });
  const full = await ask(server, { ...request, spolia: { ...kFast, policy: 'full' } });
  const dense = await ask(server, { ...request, cache_salt: 'dense' });
  assert.equal(dense.spolia.policy, 'dense');
  assert.equal(answerOf(full), answerOf(dense));
});

test('unknown documents are computed, then encoded, then reused', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 4);
  const server = await Server.start(t);
  const ragOf = (list) => ragRequest(list, 'What is it?', { spolia: kFast });

  assert.equal((await planOf(server, ragOf(documents))).policy, 'dense');
  const first = await ask(server, ragOf(documents));
  assert.equal(first.spolia.policy, 'dense');
  assert.deepEqual(
    first.spolia.misses.map(({ reason }) => reason),
    ['first_sight'],
  );
  await server.untilEncoded(documents.length);

  const shuffled = [documents[2], documents[0], documents[3], documents[1]];
  const plan = await planOf(server, ragOf(shuffled));
  assert.equal(plan.policy, 'cacheblend');
  assert.ok(plan.chosen_ms < plan.dense_ms);
  const second = await ask(server, ragOf(shuffled));
  assert.equal(second.spolia.policy, 'cacheblend');
  assert.equal(second.spolia.chunks.hit, documents.length);
  assert.ok(second.spolia.tokens.shifted > second.spolia.tokens.computed);
});

test('planning computes nothing and learns nothing', async (t) => {
  const random = makeRandom(makeSeed(t));
  const server = await Server.start(t);
  const request = ragRequest(makeDocuments(random, 3), 'What is it?', { spolia: kFast });
  const plans = [await planOf(server, request), await planOf(server, request)];
  assert.deepEqual(plans[0], plans[1]);
  const stats = await server.stats();
  assert.equal(stats.requests, 0);
  assert.equal(stats.encode_queue_depth, 0);
  assert.equal(stats.ram.blocks, 0);
});

test('chunks can be listed, looked at and deleted', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 2);
  const server = await Server.start(t);
  const { data } = await server.put('/v1/chunks', { texts: documents });
  const byKey = (a, b) => (a.key < b.key ? -1 : 1);
  assert.deepEqual(
    (await server.get('/v1/chunks')).data.sort(byKey),
    [...data].sort(byKey),
  );
  assert.deepEqual(await server.get(`/v1/chunks/${data[0].key}`), data[0]);

  const deleted = await server.ask('DELETE', `/v1/chunks/${data[0].key}`);
  assert.equal(deleted.status, 200);
  assert.equal((await server.ask('GET', `/v1/chunks/${data[0].key}`)).status, 404);
  assert.equal((await server.ask('DELETE', `/v1/chunks/${data[0].key}`)).status, 404);
  const request = ragRequest(documents, 'What is it?', { spolia: kFast });
  const { parts } = await planOf(server, request);
  const actions = parts.filter(({ role }) => role === 'chunk').map(({ action }) => action);
  assert.deepEqual(actions, ['compute', 'reuse']);
});

test('tenants never share', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 3);
  const server = await Server.start(t, { args: ['--api-key', 'red:key-r,blue:key-b'] });
  const red = { key: 'key-r' };
  const blue = { key: 'key-b' };
  const { data } = await server.put('/v1/chunks', { texts: documents }, red);
  const exact = ragRequest(documents, 'What is it?', { spolia: { fidelity: 'exact' } });
  const fast = { ...ragRequest([...documents].reverse(), 'Really?'), spolia: kFast };
  await ask(server, exact, red);
  await server.idle(red);

  assert.equal((await planOf(server, fast, blue)).policy, 'dense');
  for (const request of [exact, fast]) {
    const answer = await ask(server, request, blue);
    assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 0);
    assert.equal(answer.spolia.policy, 'dense');
  }
  assert.deepEqual((await server.get('/v1/chunks', blue)).data, []);
  const [{ key }] = data;
  assert.equal((await server.ask('GET', `/v1/chunks/${key}`, undefined, blue)).status, 404);
  assert.equal((await server.ask('DELETE', `/v1/chunks/${key}`, undefined, blue)).status, 404);

  assert.equal((await planOf(server, fast, red)).policy, 'cacheblend');
  const again = await ask(server, exact, red);
  assert.equal(
    again.usage.prompt_tokens_details.cached_tokens,
    cachedWhenRepeated(again.usage.prompt_tokens),
  );
});

test('a cache salt parts the requests of one tenant', async (t) => {
  const random = makeRandom(makeSeed(t));
  const server = await Server.start(t);
  const request = { ...ragRequest(makeDocuments(random, 2), 'Well?'), spolia: kFast };
  const cached = async (salt) => {
    const answer = await ask(server, { ...request, cache_salt: salt });
    await server.idle();
    return answer.usage.prompt_tokens_details.cached_tokens;
  };
  assert.equal(await cached('one'), 0);
  assert.equal(await cached('two'), 0);
  assert.equal(await cached(undefined), 0);
  assert.ok((await cached('one')) > 0);
});
