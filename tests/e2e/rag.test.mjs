// Collections: `spolia ingest`, and a server that retrieves from them.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { temporaryFolder } from './support/folder.mjs';
import { cleanEnvironment, run } from './support/program.mjs';
import { makeRandom, makeSeed, makeText } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { model, packages, program, ragExample, sampleModel } from './support/settings.mjs';

const kOtters = 'The otter swims in the cold river and eats crabs. '.repeat(6);
const kHerons = 'The heron stands on one leg at the pond and waits. '.repeat(6);
const kTaxes = 'Taxes are due in May, and late forms cost a fee. '.repeat(6);

// A folder with `docs` and `cache` in it.
function workplace(t) {
  const folder = temporaryFolder(t);
  const docs = join(folder, 'docs');
  mkdirSync(docs);
  return { folder, docs, cache: join(folder, 'cache') };
}

const ingestArgs = (paths, cache, name = 'notes') => [
  ...['ingest', ...[paths].flat(), '--collection', name, '--cache-dir', cache, '--format', 'json'],
];

async function ingest(paths, cache, { name, code = 0 } = {}) {
  const result = await run(ingestArgs(paths, cache, name), { timeout: 300_000 });
  assert.equal(result.code, code, result.stderr);
  return { ...JSON.parse(result.stdout), stderr: result.stderr };
}

function writeNotes(docs) {
  writeFileSync(join(docs, 'animals.md'), `# Animals\n\n## Otters\n\n${kOtters}\n\n## Herons\n\n${kHerons}\n`);
  writeFileSync(join(docs, 'office.html'), `<title>Office</title><nav>Menu</nav><p>${kTaxes}</p>`);
}

test('retrieve, and chat with what was retrieved', async (t) => {
  const { docs, cache } = workplace(t);
  writeNotes(docs);
  const report = await ingest(docs, cache);
  assert.equal(report.added, 2);
  assert.equal(report.chunks, 3);

  const server = await Server.start(t, { args: ['--cache-dir', cache] });
  const { data: collections } = await server.get('/v1/collections');
  assert.deepEqual(
    collections.map(({ name, documents, chunks }) => ({ name, documents, chunks })),
    [{ name: 'notes', documents: 2, chunks: 3 }],
  );

  const ask = { collection: 'notes', query: 'Which fee is for late taxes?', k: 2 };
  const { data } = await server.post('/v1/retrieve', ask);
  assert.equal(data[0].source, 'docs/office.html');
  assert.equal(data[0].heading, 'Office');
  assert.ok(data[0].text.startsWith('Office\n\nTaxes are due'));
  assert.ok(data[0].score >= (data[1]?.score ?? 0));
  assert.equal(data[0].warm, false);

  const chat = {
    messages: [{ role: 'user', content: 'Where does the otter swim?' }],
    temperature: 0,
    max_tokens: 4,
    spolia: { fidelity: 'fast', policy: 'none', retrieve: { collection: 'notes', k: 2 } },
  };
  const first = await server.post('/v1/chat/completions', chat);
  assert.equal(first.spolia.retrieved[0].heading, 'Animals > Otters');
  assert.ok(first.spolia.chunks.total >= first.spolia.retrieved.length);
  await server.idle();
  // What was seen is encoded in idle time, and found in another prompt.
  const { data: again } = await server.post('/v1/retrieve', { ...ask, query: 'otter swims', k: 1 });
  assert.equal(again[0].key, first.spolia.retrieved[0].key);
  assert.equal(again[0].warm, true);
  const other = await server.post('/v1/chat/completions', {
    ...chat,
    messages: [
      { role: 'system', content: 'Be brief, and say nothing that you do not know.' },
      { role: 'user', content: 'What does an otter eat?' },
    ],
  });
  assert.ok(other.spolia.tokens.shifted > 0, JSON.stringify(other.spolia));

  const long = { role: 'system', content: makeText(makeRandom(1), 2400) };
  const refused = await server.ask('POST', '/v1/chat/completions', {
    ...chat,
    messages: [long, ...chat.messages],
  });
  assert.equal(refused.body.error.code, 'context_length_exceeded');
  assert.match(refused.body.error.message, /; \d+ tokens are of retrieved chunks: lower spolia\.retrieve\.k/);

  const streamed = await server.ask('POST', '/v1/chat/completions', { ...chat, stream: true });
  assert.match(streamed.body, /"retrieved":\[\{"key"/);

  // Put by hand, a retrieved text is the same chunk.
  const { data: fresh } = await server.post('/v1/retrieve', ask);
  await server.put('/v1/chunks', { text: fresh[0].text });
  assert.equal((await server.post('/v1/retrieve', ask)).data[0].warm, true);

  // The server sees what is ingested while it runs.
  rmSync(join(docs, 'office.html'));
  assert.equal((await ingest(docs, cache)).removed, 1);
  const { data: left } = await server.post('/v1/retrieve', ask);
  assert.ok(left.every(({ source }) => source === 'docs/animals.md'));

  const remove = [...['ingest', '--collection', 'notes', '--cache-dir', cache], '--remove'];
  assert.equal((await run(remove)).code, 0);
  assert.equal((await run(remove)).code, 1);
  assert.equal((await run([...remove, docs])).code, 2, 'with paths');
  assert.equal((await run(remove.slice(0, -1))).code, 2, 'with neither');
  assert.equal((await server.ask('POST', '/v1/retrieve', ask)).status, 404);
  assert.deepEqual((await server.get('/v1/collections')).data, []);
});

// An OpenAI-compatible server whose vectors say which letters a text has.
async function embeddingServer(t, key) {
  const seen = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const piece of request) body += piece;
    seen.push(request.url);
    const allowed = request.headers.authorization === `Bearer ${key}`;
    response.statusCode = allowed ? 200 : 401;
    if (!allowed) return response.end(JSON.stringify({ error: { message: 'who are you?' } }));
    const data = JSON.parse(body).input.map((text, index) => ({
      index,
      embedding: [...'abcdefghijklmnopqrstuvwxyz'].map((c) => text.toLowerCase().split(c).length - 1),
    }));
    response.end(JSON.stringify({ data: data.reverse() }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}/v1`, seen };
}

test('embedders of the collection and of the server', async (t) => {
  const { folder, docs, cache } = workplace(t);
  writeNotes(docs);
  const ask = { collection: 'notes', query: 'Which fee is for late taxes?', k: 3 };
  const take = async (args, env = {}) => {
    const { code, stdout, stderr } = await run([...ingestArgs(docs, cache), ...args], { env });
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout);
  };
  let server;
  const serve = async (args, env) => {
    await server?.stop();
    server = await Server.start(t, { args: ['--cache-dir', cache, ...args], env });
  };

  const local = ['--embedding-model', model];
  assert.equal((await take(local)).embedded_anew, 0);
  await serve(local);
  assert.equal((await server.post('/v1/retrieve', ask)).data.length, 3);
  await serve([]);
  const { status, body } = await server.ask('POST', '/v1/retrieve', ask);
  assert.equal(status, 400);
  assert.match(body.error.message, /3 of the collection's 3 chunks .* the embedder that they were ingested with/);
  assert.equal((await server.get('/v1/collections')).data.length, 1);

  // Ingested with this server's embedder, it is searched again, and no file was read.
  const { embedded_anew, bytes_read } = await take([]);
  assert.deepEqual({ embedded_anew, bytes_read }, { embedded_anew: 3, bytes_read: 0 });
  assert.equal((await server.post('/v1/retrieve', ask)).data[0].heading, 'Office');

  const { url, seen } = await embeddingServer(t, 'SECRET');
  const config = join(folder, 'spolia.toml');
  writeFileSync(config, `[embedding]\nurl = "${url}"\nname = "letters"\nkey_env = "LETTERS_KEY"\n`);
  const refused = await run([...ingestArgs(docs, cache), '--config', config], {
    env: { LETTERS_KEY: 'WRONG' },
  });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /\/v1\/embeddings: status 401: who are you\?.*--embedding-key-env/);
  assert.doesNotMatch(refused.stderr, /WRONG/);
  const env = { LETTERS_KEY: 'SECRET' };
  assert.equal((await take(['--config', config], env)).embedded_anew, 3);
  await serve(['--config', config], env);
  assert.equal((await server.post('/v1/retrieve', ask)).data[0].heading, 'Office');
  assert.ok(seen.every((path) => path === '/v1/embeddings'));
});

test('tenants and names', async (t) => {
  const { docs, cache } = workplace(t);
  writeNotes(docs);
  assert.equal((await run([...ingestArgs(docs, cache), '--tenant', 'a'])).code, 0);
  const server = await Server.start(t, {
    args: ['--cache-dir', cache, '--api-key', 'a:key-a,b:key-b'],
  });
  const ask = (key, collection) =>
    server.ask('POST', '/v1/retrieve', { collection, query: 'otter' }, { key });
  assert.equal((await ask('key-a', 'notes')).status, 200);
  assert.equal((await ask('key-b', 'notes')).status, 404);
  assert.deepEqual((await server.get('/v1/collections', { key: 'key-b' })).data, []);
  for (const name of ['../notes', '..', '', '/etc/passwd', 'a/../notes', 'x\u0000']) {
    const { status, body } = await ask('key-a', name);
    assert.equal(status, 400, name);
    assert.equal(body.error.param, 'collection');
    if (!name.includes('\0')) {
      const { code, stderr } = await run(ingestArgs(docs, cache, name));
      assert.equal(code, 2, stderr);
    }
  }
});

test('files come, change and go', async (t) => {
  const { docs, cache } = workplace(t);
  writeNotes(docs);
  await ingest(docs, cache);
  const { unchanged, bytes_read } = await ingest(docs, cache);
  assert.deepEqual({ unchanged, bytes_read }, { unchanged: 2, bytes_read: 0 });
  appendFileSync(join(docs, 'animals.md'), '\n## Beavers\n\nThe beaver builds.\n');
  renameSync(join(docs, 'office.html'), join(docs, 'work.html'));
  const { added, replaced, removed, chunks } = await ingest(docs, cache);
  assert.deepEqual({ added, replaced, removed, chunks }, { added: 1, replaced: 1, removed: 1, chunks: 4 });
});

test('hostile documents', async (t) => {
  const { folder, docs, cache } = workplace(t);
  writeNotes(docs);
  writeFileSync(join(docs, 'binary.txt'), Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 0]));
  writeFileSync(join(docs, 'long.txt'), 'word '.repeat(20 * 1024 * 1024)); // 100 MB, one line
  writeFileSync(join(docs, 'deep.html'), '<div>'.repeat(2_000_000) + 'deep text');
  writeFileSync(join(docs, 'latin1.txt'), Buffer.from('caf\xe9 au lait', 'latin1'));
  writeFileSync(join(docs, 'bad.pdf'), 'no PDF');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  symlinkSync(join(folder, 'secret.txt'), join(docs, 'link.txt'));
  symlinkSync('/', join(docs, 'all'));
  symlinkSync(join(docs, 'loop'), join(docs, 'loop'));
  symlinkSync(docs, join(docs, 'self'));
  const report = await ingest(docs, cache, { code: 1 });
  assert.equal(report.failed, 2);
  assert.equal(report.added, 5);
  for (const what of [/binary\.txt: it is no text/, /bad\.pdf: it is no PDF/, /link\.txt: .*out of/,
    /all: .*out of/, /loop: .*nowhere/]) {
    assert.match(report.stderr, what);
  }
  assert.equal(report.warnings.length, 5);
  const server = await Server.start(t, { args: ['--cache-dir', cache] });
  const find = (query) => server.post('/v1/retrieve', { collection: 'notes', query, k: 1 });
  assert.match((await find('deep')).data[0].text, /deep text/);
  assert.ok((await find('secret')).data.every(({ text }) => !text.includes('secret')));
});

// What a collection says, whatever way it came about.
async function contents(server, name, queries) {
  const found = [];
  for (const query of queries) {
    const { data } = await server.post('/v1/retrieve', { collection: name, query, k: 8 });
    found.push(data.map(({ key, text, score }) => ({ key, text, score })));
  }
  const { data } = await server.get('/v1/collections');
  const { documents, chunks, bytes } = data.find((each) => each.name === name);
  return { found, documents, chunks, bytes };
}

test('ingest that is killed goes on to the same state', async (t) => {
  const random = makeRandom(makeSeed(t));
  const { docs, cache } = workplace(t);
  const queries = [];
  for (let i = 0; i < 150; ++i) {
    const text = makeText(random, 600);
    writeFileSync(join(docs, `${i}.txt`), text);
    if (i % 10 === 0) queries.push(text.split(' ').slice(3, 8).join(' '));
  }
  await ingest(docs, cache, { name: 'whole' });
  for (let round = 0, killed = 0; round < 40 && killed < 8; ++round) {
    const child = spawn(program, ingestArgs(docs, cache, 'killed'), {
      env: cleanEnvironment(),
      stdio: 'ignore',
    });
    const ended = once(child, 'exit');
    await sleep(random.below(60));
    child.kill('SIGKILL');
    const [, signal] = await ended;
    if (signal === 'SIGKILL') killed += 1;
  }
  const report = await ingest(docs, cache, { name: 'killed' });
  assert.equal(report.documents, 150);
  const server = await Server.start(t, { args: ['--cache-dir', cache] });
  assert.deepEqual(
    await contents(server, 'killed', queries),
    await contents(server, 'whole', queries),
  );
});

const repository = fileURLToPath(new URL('../../', import.meta.url));

test('the example with curl', { skip: sampleModel === '' }, async () => {
  const { code, stdout, stderr } = await run([], {
    command: join(repository, 'examples/rag_server.sh'),
    env: { SPOLIA: program },
  });
  assert.equal(code, 0, stderr);
  const answers = stdout.split('\n').filter((line) => line.startsWith('{'));
  const [collections, found, first, again] = answers.map((line) => JSON.parse(line));
  assert.equal(collections.data[0].name, 'spolia');
  assert.match(found.data[0].text, /anchor/i);
  assert.equal(first.spolia.retrieved.length, 2);
  assert.ok(again.spolia.tokens.shifted > 0, JSON.stringify(again.spolia));
});

test('the example with the SDK', async (t) => {
  const { docs, cache } = workplace(t);
  writeNotes(docs);
  const args = [model, cache, 'Where does the otter swim?', docs];
  const { code, stdout, stderr } = await run(args, { command: ragExample });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^2 added, 0 replaced, 0 unchanged, 0 removed, 0 failed$/m);
  assert.match(stdout, /^0\.03\d\d docs\/animals\.md: Animals > Otters$/m);
  const reused = [...stdout.matchAll(/, (\d+) reused, /g)].map(([, count]) => Number(count));
  assert.equal(reused[0], 0, stdout);
  assert.ok(reused[1] > 0, stdout);

  // The command and the program are at home in one collection.
  rmSync(join(docs, 'office.html'));
  writeFileSync(join(docs, 'pond.txt'), kHerons);
  const { added, unchanged, removed, documents } = await ingest(docs, cache, { name: 'rag_sdk' });
  assert.deepEqual({ added, unchanged, removed, documents }, { added: 1, unchanged: 1, removed: 1, documents: 3 });
  const again = await run(args, { command: ragExample });
  assert.match(again.stdout, /^0 added, 0 replaced, 2 unchanged, 0 removed, 0 failed$/m);
  assert.match(again.stdout, /Animals > Otters \(warm\)$/m);
  const usage = await run([], { command: ragExample });
  assert.equal(usage.code, 2);
});

test('the SDK and the program at the same time', async (t) => {
  const { docs, cache } = workplace(t);
  const random = makeRandom(makeSeed(t));
  for (let i = 0; i < 60; ++i) writeFileSync(join(docs, `${i}.txt`), makeText(random, 300));
  writeNotes(docs);
  const args = [model, cache, 'Where does the otter swim?', docs];
  // Both take the same folder into the same collection.
  const [example, command] = await Promise.all([
    run(args, { command: ragExample, timeout: 300_000 }),
    run(ingestArgs(docs, cache, 'rag_sdk')),
  ]);
  assert.equal(example.code, 0, example.stderr);
  assert.equal(command.code, 0, command.stderr);
  const whole = await ingest(docs, cache, { name: 'rag_sdk' });
  assert.deepEqual([whole.unchanged, whole.documents], [62, 63]);
  await ingest(docs, cache, { name: 'alone' });

  // The KV of a cache folder is one process's at a time.
  const server = await Server.start(t, { args: ['--cache-dir', cache] });
  const refused = await run(args, { command: ragExample });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /another process uses it/);
  const { data } = await server.get('/v1/collections');
  const [alone, both] = data;
  assert.equal(both.chunks, alone.chunks + 1, 'the note');
});

test('the example with LangChain', async (t) => {
  const { docs, cache } = workplace(t);
  writeNotes(docs);
  await ingest(docs, cache);
  const server = await Server.start(t, { args: ['--cache-dir', cache] });
  const script = join(packages, 'rag_langchain.mjs');
  copyFileSync(join(repository, 'examples/rag_langchain.mjs'), script);
  const args = [script, `${server.url}/v1`, 'notes', 'What does the otter eat?'];
  const { code, stdout, stderr } = await run(args, { command: process.execPath });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^docs\/animals\.md: Animals > Otters$/m);
  assert.match(stdout, /^answer: /m);
  await server.idle();
  const again = await run(args, { command: process.execPath });
  assert.match(again.stdout, /Animals > Otters \(warm\)$/m);
});
