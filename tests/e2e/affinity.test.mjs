// `spolia serve` in front of servers like vLLM: stubs of it, that is.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { Server } from './support/server.mjs';
import { VllmStub } from './support/vllm_stub.mjs';

const kRules = 'Answer from the notes which follow, and say so where they do not tell. '.repeat(20);

async function start(t, { n = 2, args = [], env = {} } = {}) {
  const stubs = [];
  for (let i = 0; i < n; ++i) stubs.push(await VllmStub.start(t));
  const urls = stubs.map((stub) => stub.url).join(',');
  const named = ['--upstream', urls, '--upstream-kind', 'openai'];
  const server = await Server.start(t, {
    named,
    args: ['--upstream-health-interval', '50', ...args],
    env,
  });
  return { server, stubs };
}

const chat = (system, user, extra = {}) => ({
  model: 'm',
  messages: [
    { role: 'system', content: system },
    { role: 'user', content: user },
  ],
  ...extra,
});

const ask = (server, ...request) => server.post('/v1/chat/completions', chat(...request));
const serverOf = (answer) => answer.choices[0].message.content.slice('from '.length);
const cachedOf = (answer) => answer.usage.prompt_tokens_details.cached_tokens;

async function until(condition) {
  for (let i = 0; i < 200; ++i) {
    if (await condition()) return;
    await sleep(50);
  }
  assert.fail(`it does not become true: ${condition}`);
}

test('prompts that begin alike meet, and what was cached is counted', async (t) => {
  const { server, stubs } = await start(t);
  const used = new Set();
  let promptTokens = 0;
  for (let id = 0; id < 20; ++id) {
    const first = await ask(server, `${id} ${kRules}`, 'Who?');
    const next = await ask(server, `${id} ${kRules}`, 'Why?');
    assert.equal(serverOf(next), serverOf(first));
    assert.equal(cachedOf(first), 0);
    assert.ok(cachedOf(next) > 300);
    used.add(serverOf(first));
    promptTokens += first.usage.prompt_tokens + next.usage.prompt_tokens;
  }
  assert.equal(used.size, 2);
  // The client has an answer before it is counted.
  const upstreams = async () => (await server.get('/v1/upstreams')).data;
  const counted = async () =>
    (await upstreams()).reduce((sum, { prompt_tokens: n }) => sum + n, 0) === promptTokens;
  await until(counted);
  const metrics = await server.get('/metrics');
  const data = await upstreams();
  for (const stub of stubs) {
    const own = data.find(({ name }) => name === stub.name);
    assert.equal(own.requests, stub.requests.length);
    assert.equal(own.healthy, true);
    const line = `spolia_upstream_prompt_tokens_total{upstream="${stub.name}",source="cached"}`;
    assert.ok(metrics.includes(`${line} ${own.cached_tokens}\n`), metrics);
  }
  assert.ok(Math.abs(data[0].share + data[1].share - 1) < 1e-9);
});

test("bodies, streams and errors are the server's own", async (t) => {
  const { server, stubs } = await start(t, { n: 1 });
  const text = '{"model":"m", "seed":12345678901234567890,"spolia":{"x":1},"top_p":0.90,"messages":[]}';
  const answer = await server.ask('POST', '/v1/chat/completions', text);
  assert.equal(answer.status, 200);
  assert.equal(stubs[0].requests[0].text, text.replace('"spolia":{"x":1},', ''));

  const client = server.client();
  const stream = await client.chat.completions.create(
    chat(kRules, 'Who?', { stream: true, stream_options: { include_usage: true } }),
  );
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  const content = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  assert.equal(content, `from ${stubs[0].name}`);
  assert.ok(chunks.at(-1).usage.prompt_tokens > 0);
  await until(async () => {
    const { data } = await server.get('/v1/upstreams');
    return data[0].prompt_tokens >= chunks.at(-1).usage.prompt_tokens;
  });

  const unknown = await server.ask('POST', '/v1/chat/completions', { ...chat('a', 'b'), model: 'x' });
  assert.equal(unknown.status, 404);
  assert.equal(unknown.body.error.type, 'NotFoundError');
  const salt = await server.ask('POST', '/v1/chat/completions', chat('a', 'b', { cache_salt: '' }));
  assert.equal(salt.status, 400);
  assert.match(salt.body.error.message, /cache_salt/);
});

test('tenants share no cache', async (t) => {
  const { server, stubs } = await start(t, {
    n: 1,
    args: ['--upstream-cache-salt', 'true'],
    env: { SPOLIA_API_KEY: 'a:KEY-A', SPOLIA_UPSTREAM_SALT_SECRET: 'secret' },
  });
  const answer = await server.post('/v1/chat/completions', chat(kRules, 'Who?'), { key: 'KEY-A' });
  assert.equal(cachedOf(answer), 0);
  const { cache_salt: salt } = stubs[0].requests[0].body;
  assert.match(salt, /^[0-9a-f]{32}$/);
  const own = chat(kRules, 'Who?', { cache_salt: 'own' });
  assert.equal(cachedOf(await server.post('/v1/chat/completions', own, { key: 'KEY-A' })), 0);
  const { cache_salt: ownSalt } = stubs[0].requests[1].body;
  assert.match(ownSalt, /^[0-9a-f]{32}$/);
  assert.notEqual(ownSalt, salt);
  const drain = await server.ask('POST', `/v1/upstreams/${stubs[0].name}/drain`, undefined, {
    key: 'KEY-A',
  });
  assert.equal(drain.status, 403);
});

test('a server that drains, fails or is gone gets nothing', async (t) => {
  const { server, stubs } = await start(t);
  const name = serverOf(await ask(server, kRules, 'Who?'));
  const [busy, other] = stubs[0].name === name ? stubs : [stubs[1], stubs[0]];
  assert.equal((await server.post(`/v1/upstreams/${name}/drain`)).draining, true);
  assert.equal(serverOf(await ask(server, kRules, 'Why?')), other.name);
  await server.post(`/v1/upstreams/${name}/undrain`);

  other.healthy = false;
  const healthy = async (stub) =>
    (await server.get('/v1/upstreams')).data.find((entry) => entry.name === stub.name).healthy;
  await until(async () => !(await healthy(other)));
  assert.equal(serverOf(await ask(server, kRules, 'When?')), busy.name);
  other.healthy = true;
  await until(() => healthy(other));
  await busy.stop();
  for (let i = 0; i < 5; ++i) {
    assert.equal(serverOf(await ask(server, `${i} ${kRules}`, 'Where?')), other.name);
  }
});

test('a text that was warmed up is cached in the first prompt with it', async (t) => {
  const { server, stubs } = await start(t, { args: ['--upstream-warm-up', 'true'] });
  const put = await server.ask('PUT', '/v1/chunks', { model: 'm', text: kRules });
  assert.equal(put.status, 202);
  await until(() => stubs.some((stub) => stub.requests.length > 0));
  const answer = await ask(server, kRules, 'Who?');
  assert.equal(serverOf(answer), put.body.data[0].upstream);
  assert.ok(cachedOf(answer) > 300);
});

test('tools and documents in any order share a prefix', async (t) => {
  const { server, stubs } = await start(t, {
    args: ['--upstream-stable-tools', 'true', '--upstream-document-order', 'true'],
  });
  const tool = (name) => ({ type: 'function', function: { name, description: kRules } });
  const part = (text) => ({ type: 'text', text });
  const request = (tools, documents, question) => ({
    model: 'm',
    tools,
    messages: [
      { role: 'user', content: [part('Read.'), ...documents.map(part), part(question)] },
    ],
    spolia: { documents: 'any_order' },
  });
  const [a, b] = [`First: ${kRules}`, `Second: ${kRules}`];
  const one = request([tool('x'), tool('y')], [a, b], 'Who?');
  const other = request([tool('y'), tool('x')], [b, a], 'Why?');
  assert.equal(cachedOf(await server.post('/v1/chat/completions', one)), 0);
  const { usage } = await server.post('/v1/chat/completions', other);
  assert.ok(usage.prompt_tokens - usage.prompt_tokens_details.cached_tokens < 32);
  assert.ok(stubs.every((stub) => stub.requests.every(({ body }) => !('spolia' in body))));
});
