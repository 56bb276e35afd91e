// In front of an unmodified llama-server: prompts of known text are put into its slots.
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { smallDisk, temporaryFolder } from './support/folder.mjs';
import { LlamaServer, freePort, slotFolder } from './support/llama_server.mjs';
import { answerOf, makeDocuments, makeRandom, makeSeed, ragRequest } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { run } from './support/program.mjs';
import { llamaServer, model, otherModel, program } from './support/settings.mjs';

const kFast = { spolia: { fidelity: 'fast', policy: 'none' } };
const handedOver = (server, result = 'taken') =>
  server.metric(`spolia_handovers_total{result="${result}"}`);
const fallbacks = (server, reason) =>
  server.metric(`spolia_handover_fallbacks_total{reason="${reason}"}`);

// A llama-server, and Spolia in front of it.
async function start(t, { behind = {}, args = [], folder = slotFolder(t), wait = true } = {}) {
  const llama = await LlamaServer.start(t, { folder, ...behind });
  const server = await Server.start(t, {
    named: ['--upstream', llama.url, '--upstream-kind', 'llama-server'],
    args: ['--slot-dir', folder, ...args],
  });
  if (wait) await server.untilLogged('put into the llama-server');
  return { llama, server, folder };
}

async function ask(server, request) {
  const answer = await server.ask('POST', '/v1/chat/completions', request);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { timings, usage } = answer.body;
  assert.equal(timings.cache_n + timings.prompt_n, usage.prompt_tokens);
  return {
    ...answer.body,
    policy: answer.headers.get('x-spolia-policy'),
    fallback: answer.headers.get('x-spolia-fallback'),
    reused: Number(answer.headers.get('x-spolia-reused')),
  };
}

test('documents in a new order are taken from the slot', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 5);
  const { server } = await start(t);
  await server.put('/v1/chunks', { texts: documents });
  for (let round = 1; round <= 3; ++round) {
    const request = ragRequest(random.shuffled(documents), `Question ${round}?`, kFast);
    const answer = await ask(server, request);
    assert.equal(answer.fallback, null);
    assert.equal(answer.policy, 'none');
    assert.ok(answer.reused > 300);
    assert.equal(answer.timings.prompt_n, 1, 'the server computes the last token alone');
    await server.untilMetric('spolia_handovers_total{result="taken"}', round);
  }
  assert.equal(await handedOver(server, 'not_taken'), 0);
});

test('answers are those of the same composition in this process', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 4);
  const request = ragRequest(random.shuffled(documents), 'What is it?', {
    spolia: { fidelity: 'fast', policy: 'cacheblend' },
    max_tokens: 1,
    ...{ logprobs: undefined, top_k: 1 },
  });
  const { server } = await start(t);
  const alone = await Server.start(t);
  for (const each of [server, alone]) await each.put('/v1/chunks', { texts: documents });
  assert.equal(answerOf(await ask(server, request)), answerOf(await alone.post('/v1/chat/completions', request)));
});

test('unknown text is the server\'s own to compute, and is known from then on', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 3);
  const { llama, server } = await start(t);
  const request = ragRequest(documents, 'What is it?', { ...kFast, top_k: 1 });
  const direct = await llama.post('/v1/chat/completions', request);
  const first = await ask(server, request);
  assert.equal(first.fallback, 'first_sight');
  assert.equal(answerOf(first), answerOf(direct));
  await server.untilEncoded(documents.length);
  const again = await ask(server, ragRequest([...documents].reverse(), 'What is it?', kFast));
  assert.equal(again.policy, 'none');
});

test('what the server computed is there when its slot has gone to others', async (t) => {
  const random = makeRandom(makeSeed(t));
  const [long, other] = makeDocuments(random, 2, 150);
  const { server } = await start(t, { behind: { slots: 1 } });
  const exact = { spolia: { fidelity: 'exact' }, temperature: 0, max_tokens: 12 };
  const messages = [{ role: 'user', content: long }];
  const first = await ask(server, { messages, ...exact });
  assert.equal(first.policy, 'upstream');
  const nPages = Math.floor(first.usage.prompt_tokens / 64);
  await server.untilMetric('spolia_pages_captured_total', (n) => n >= nPages);
  await ask(server, { messages: [{ role: 'user', content: other }], ...exact });

  messages.push({ role: 'assistant', content: answerOf(first) });
  messages.push({ role: 'user', content: 'And what else?' });
  const next = await ask(server, { messages, ...exact });
  assert.equal(next.policy, 'exact', next.fallback);
  assert.ok(next.usage.prompt_tokens_details.cached_tokens >= 64 * (nPages - 1));
});

test('whatever else there is goes through untouched', async (t) => {
  const { llama, server } = await start(t);
  for (const path of ['/props', '/v1/models', '/slots']) {
    const [ours, theirs] = await Promise.all([server.get(path), fetch(llama.url + path)]);
    assert.deepEqual(Object.keys(ours), Object.keys(await theirs.json()), path);
  }
  const tokens = await server.post('/tokenize', { content: 'a b c' });
  assert.deepEqual(tokens, await llama.post('/tokenize', { content: 'a b c' }));
  const refused = await server.ask('POST', '/v1/chat/completions', { messages: 'none' });
  assert.equal(refused.status, 400, 'in the words of the server behind');
  const bad = await server.ask('POST', '/v1/chat/completions', {
    messages: [{ role: 'user', content: 'a' }],
    spolia: { fidelity: 'best' },
  });
  assert.equal(bad.status, 400);
  assert.equal(bad.body.error.param, 'spolia.fidelity');
});

test('many at once share the slots, and all are taken', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 6);
  const { server } = await start(t, { behind: { slots: 3 } });
  await server.put('/v1/chunks', { texts: documents });
  const n = 12;
  const answers = await Promise.all(
    Array.from({ length: n }, (_, i) =>
      ask(server, ragRequest(random.shuffled(documents), `Question ${i}?`, kFast)),
    ),
  );
  for (const answer of answers) assert.equal(answer.timings.prompt_n, 1);
  await server.untilMetric('spolia_handovers_total{result="taken"}', n);
});

test('streams of a client pass event by event', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 3);
  const { server } = await start(t);
  await server.put('/v1/chunks', { texts: documents });
  const stream = await server.client().chat.completions.create({
    ...ragRequest(random.shuffled(documents), 'What is it?', kFast),
    model: 'tiny',
    stream: true,
    stream_options: { include_usage: true },
  });
  let nChunks = 0;
  let last;
  for await (const chunk of stream) {
    ++nChunks;
    last = chunk;
  }
  assert.ok(nChunks > 3);
  assert.equal(last.usage.completion_tokens, 12);
  await server.untilMetric('spolia_handovers_total{result="taken"}', 1);
});

test('a server that comes back is found again', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 3);
  const { llama, server, folder } = await start(t);
  await server.put('/v1/chunks', { texts: documents });
  const request = () => ragRequest(random.shuffled(documents), 'What is it?', kFast);
  await ask(server, request());
  await llama.stop('SIGKILL');
  const during = await server.ask('POST', '/v1/chat/completions', request());
  assert.equal(during.status, 502);
  await LlamaServer.start(t, { folder, port: llama.port });
  await server.untilLogged('put into the llama-server', 2);
  const answer = await ask(server, request());
  assert.equal(answer.timings.prompt_n, 1);
});

test('a slot of the server\'s or the client\'s choice holds no composed rows', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 3);
  const { server } = await start(t, { behind: { slots: 1 } });
  await server.put('/v1/chunks', { texts: documents });
  const request = ragRequest(random.shuffled(documents), 'What is it?', kFast);
  assert.equal((await ask(server, request)).policy, 'none');
  const own = await ask(server, { ...request, id_slot: 0 });
  assert.equal(own.fallback, 'own_way');
  assert.equal(own.timings.cache_n, 0, 'not the rows that were composed');
  const again = await ask(server, { ...request, id_slot: 0 });
  assert.ok(again.timings.cache_n > 100, 'but what the server computed since');

  assert.equal((await ask(server, request)).policy, 'none');
  const { headers, body } = await server.ask('POST', '/v1/messages', { ...request, max_tokens: 4 });
  assert.equal(headers.get('x-spolia-fallback'), 'other_api');
  assert.equal(body.usage.cache_read_input_tokens, 0, JSON.stringify(body));
});

test('what a killed spolia left in the folder goes', async (t) => {
  const documents = makeDocuments(makeRandom(makeSeed(t)), 3);
  const { llama, server, folder } = await start(t);
  await server.put('/v1/chunks', { texts: documents });
  await ask(server, ragRequest([...documents].reverse(), 'What is it?', kFast));
  await server.stop('SIGKILL');
  const left = readdirSync(folder);
  assert.ok(left.length > 0);
  const next = await Server.start(t, {
    named: ['--upstream', llama.url, '--upstream-kind', 'llama-server'],
    args: ['--slot-dir', folder],
  });
  await next.untilLogged('put into the llama-server');
  assert.deepEqual(readdirSync(folder).filter((name) => left.includes(name)), []);
});

test('a server that is not there yet is waited for', async (t) => {
  const port = await freePort();
  const folder = slotFolder(t);
  const wait = () =>
    Server.start(t, {
      named: ['--upstream', `http://127.0.0.1:${port}`],
      args: ['--slot-dir', folder],
      until: 'waiting for the upstream to say what it has',
    });
  const stopped = await wait();
  assert.deepEqual(await stopped.stop(), { code: 0, signal: null });

  const server = await wait();
  await LlamaServer.start(t, { folder, port });
  await server.untilLogged('put into the llama-server');
});

describe('prompts are left to a server', () => {
  const leaves = (name, options, reason) =>
    test(name, async (t) => {
      const { server } = await start(t, { ...(await options(t)), wait: false });
      await server.untilLogged(reason);
      const documents = makeDocuments(makeRandom(makeSeed(t)), 2);
      await server.put('/v1/chunks', { texts: documents });
      const answer = await ask(server, ragRequest(documents, 'What is it?', kFast));
      assert.equal(answer.fallback, 'no_handover');
      assert.equal(answer.policy, 'upstream');
      assert.equal(await fallbacks(server, 'no_handover'), 1);
    });

  leaves('that saves no slots', () => ({ behind: { folder: undefined } }), '--slot-save-path');
  leaves('that saves them elsewhere', (t) => ({ behind: { folder: temporaryFolder(t) } }), 'same folder');
  leaves('with another type of KV cache', () => ({
    behind: { args: ['--cache-type-k', 'q8_0', '--flash-attn', 'on'] },
  }), '--cache-type-k f16');
  leaves('with another model', () => ({
    behind: { file: otherModel },
    args: ['--model', model],
  }), 'the GGUF file that the server has');
});

test('the example with curl', async () => {
  const { code, stdout, stderr } = await run([model], {
    command: fileURLToPath(new URL('../../examples/llama_server.sh', import.meta.url)),
    env: { SPOLIA: program, LLAMA_SERVER: llamaServer },
  });
  assert.equal(code, 0, stderr);
  const answers = stdout.split('\n').filter((line) => line.startsWith('{"choices"'));
  assert.equal(answers.length, 2, stdout);
  for (const { timings, spolia } of answers.map((line) => JSON.parse(line))) {
    assert.equal(timings.prompt_n, 1);
    assert.ok(spolia.tokens.shifted > 0);
  }
  assert.match(stdout, /^spolia_handovers_total{result="taken"} 2$/m);
});

test('a full disk costs the handover and nothing else', async (t) => {
  const folder = smallDisk(t, '900k');
  if (!folder) return t.skip('mounting is not permitted here');
  const { server } = await start(t, { folder });
  const documents = makeDocuments(makeRandom(makeSeed(t)), 10);
  await server.put('/v1/chunks', { texts: documents });
  const answer = await ask(server, ragRequest(documents, 'What is it?', kFast));
  assert.equal(answer.fallback, 'slot_file');
  // What the server computed is looked at, and goes as well.
  await server.until(() => readdirSync(folder).length === 0, 'the folder is empty');
  const short = await ask(server, ragRequest(documents.slice(0, 2).reverse(), 'What is it?', kFast));
  assert.equal(short.policy, 'none', short.fallback);
  return undefined;
});
