// Blocks on disk: restarts, kills, damage, a full disk.
import assert from 'node:assert/strict';
import { openSync, closeSync, readSync, writeSync, fstatSync, truncateSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

import { blockFiles, filesBelow, smallDisk, temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';
import { answerOf, makeDocuments, makeRandom, makeSeed, ragRequest } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { model } from './support/settings.mjs';

const kChat = '/v1/chat/completions';
const kFast = { fidelity: 'fast', policy: 'none' };

// Chunks only, so that tests can count blocks.
const start = (t, folder, { args = [], ...options } = {}) =>
  Server.start(t, {
    args: ['--cache-dir', folder, '--capture-pages', 'false', ...args],
    ...options,
  });
// Of a server that was asked nothing before: neither do exact rows stand in for chunks, nor does a
// measured cost model turn them down.
const fastRequest = (documents) => ragRequest(documents, 'What is it?', { spolia: kFast });
const exactRequest = (documents) => ragRequest(documents, 'What is it?', { cache_salt: 'exact' });
const written = (server, nBlocks) =>
  server.until(({ disk }) => disk.blocks === nBlocks, `${nBlocks} blocks are on disk`);

async function assertAllReused(server, documents, expected) {
  const answer = await server.post(kChat, fastRequest(documents));
  assert.equal(answer.spolia.chunks.hit, documents.length);
  assert.equal(answerOf(answer), expected.fast);
}

// What a server without a disk says.
async function expectedAnswers(t, documents, options) {
  const server = await Server.start(t, options);
  await server.put('/v1/chunks', { texts: documents });
  const fast = answerOf(await server.post(kChat, fastRequest(documents)));
  const exact = answerOf(await server.post(kChat, exactRequest(documents)));
  await server.stop();
  return { fast, exact };
}

async function inspect(folder) {
  const { code, stdout } = await run(['inspect', folder, '--verify', '--format', 'json']);
  return { code, blocks: JSON.parse(stdout) };
}

describe('a restart', () => {
  test('finds chunks and exact prefixes on disk', async (t) => {
    const folder = temporaryFolder(t);
    const documents = makeDocuments(makeRandom(makeSeed(t)), 3);
    const expected = await expectedAnswers(t, documents);

    const args = ['--capture-pages', 'true'];
    const first = await start(t, folder, { args });
    const { data } = await first.put('/v1/chunks', { texts: documents });
    await assertAllReused(first, documents, expected);
    await first.post(kChat, exactRequest(documents));
    // The chunks, and pages of 128 rows.
    await first.until(({ disk }) => disk.blocks >= 6, 'pages are on disk');
    assert.deepEqual(await first.stop(), { code: 0, signal: null });
    assert.equal((await inspect(folder)).code, 0);

    const second = await start(t, folder, { args });
    for (const { key } of data) {
      const chunk = await second.get(`/v1/chunks/${key}`);
      assert.deepEqual([chunk.encoded, chunk.tier], [true, 'disk']);
    }
    await assertAllReused(second, documents, expected);
    const exact = await second.post(kChat, exactRequest(documents));
    assert.equal(answerOf(exact), expected.exact);
    assert.ok(exact.usage.prompt_tokens_details.cached_tokens >= 3 * 128);
    assert.equal(await second.metric('spolia_chunks_encoded_total'), 0);
  });

  test('has to wait until the folder is free', async (t) => {
    const folder = temporaryFolder(t);
    const documents = makeDocuments(makeRandom(makeSeed(t)), 1);
    const first = await start(t, folder);
    await first.put('/v1/chunks', { texts: documents });
    await written(first, 1);
    const second = await run(['serve', '--model', model, '--port', '0', '--cache-dir', folder]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /another process uses it/);
    assert.ok(second.stderr.includes(folder));
    await first.post(kChat, fastRequest(documents));
    await first.stop();
    const third = await start(t, folder);
    assert.equal((await third.stats()).disk.blocks, 1);
  });
});

describe('a kill while blocks are written', () => {
  for (const round of [1, 2, 3, 4]) {
    test(`round ${round}`, async (t) => {
      const folder = temporaryFolder(t);
      const random = makeRandom(makeSeed(t) + round);
      const documents = makeDocuments(random, 12, 60);
      const [early, late] = [documents.slice(0, 3), documents.slice(3)];
      const args = ['--ctx-size', '4096'];
      const expected = await expectedAnswers(t, documents, { args });

      const first = await start(t, folder, { args });
      const { data } = await first.put('/v1/chunks', { texts: early });
      await written(first, early.length);
      const put = first.put('/v1/chunks', { texts: late }).catch(() => null);
      await sleep(random.below(70));
      await first.stop('SIGKILL');
      await put;
      const left = await inspect(folder);
      assert.equal(left.code, 0);
      assert.ok(left.blocks.length >= early.length);
      t.diagnostic(`${left.blocks.length} of ${documents.length} blocks were written`);

      const second = await start(t, folder, { args });
      const stats = await second.stats();
      assert.equal(stats.disk.files_set_aside, 0);
      assert.equal(stats.disk.blocks, left.blocks.length);
      assert.deepEqual(filesBelow(folder, /incoming/), []);
      for (const { key } of data) {
        assert.equal((await second.get(`/v1/chunks/${key}`)).tier, 'disk');
      }
      await second.put('/v1/chunks', { texts: documents });
      await assertAllReused(second, documents, expected);
      const exact = await second.post(kChat, exactRequest(documents));
      assert.equal(answerOf(exact), expected.exact);
    });
  }
});

function flipBit(path, offset) {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, offset);
  byte[0] ^= 0x10;
  writeSync(file, byte, 0, 1, offset);
  closeSync(file);
}

function sizeOf(path) {
  const file = openSync(path, 'r');
  const { size } = fstatSync(file);
  closeSync(file);
  return size;
}

// Offsets are those of reuse/block_file.h.
const kDamages = {
  'the magic': (path) => flipBit(path, 0),
  'the number of rows': (path) => flipBit(path, 76),
  'a token': (path) => flipBit(path, 116),
  'a row': (path) => flipBit(path, sizeOf(path) - 100),
  'the last byte': (path) => flipBit(path, sizeOf(path) - 1),
  'half of the file': (path) => truncateSync(path, sizeOf(path) >> 1),
  'all of the file': (path) => truncateSync(path, 0),
};

describe('damage to a block file', () => {
  for (const [what, damage] of Object.entries(kDamages)) {
    test(what, async (t) => {
      const folder = temporaryFolder(t);
      const documents = makeDocuments(makeRandom(makeSeed(t)), 3);
      const expected = await expectedAnswers(t, documents);
      const first = await start(t, folder);
      await first.put('/v1/chunks', { texts: documents });
      await written(first, 3);
      await first.stop();
      const [path] = blockFiles(folder);
      damage(path);

      const inspected = await inspect(folder);
      assert.equal(inspected.code, 1);
      const damaged = inspected.blocks.filter(({ problem }) => problem);
      assert.deepEqual(damaged.map(({ file }) => file), [path]);

      const second = await start(t, folder);
      const answer = await second.post(kChat, fastRequest(documents));
      assert.equal(answer.spolia.chunks.hit, 2);
      const { disk } = await second.stats();
      assert.equal(disk.files_set_aside, 1);
      assert.equal(filesBelow(folder, /set_aside\//).length, 1);
      await second.put('/v1/chunks', { texts: documents });
      await written(second, 3);
      await second.stop();
      await assertAllReused(await start(t, folder), documents, expected);
    });
  }

  test('to its registry of chunks', async (t) => {
    const folder = temporaryFolder(t);
    const documents = makeDocuments(makeRandom(makeSeed(t)), 2);
    const first = await start(t, folder);
    await first.put('/v1/chunks', { texts: documents });
    await written(first, 2);
    await first.stop();
    const [registry] = filesBelow(folder, /\.chunks$/);
    flipBit(registry, 40);

    const second = await start(t, folder);
    assert.deepEqual((await second.get('/v1/chunks')).data, []);
    assert.ok(second.log.some((line) => line.includes('register them again')));
    assert.equal((await second.put('/v1/chunks', { texts: documents })).data.length, 2);
    assert.equal(await second.metric('spolia_chunks_encoded_total'), 0);
  });
});

// Serves from memory, names the problem, and goes on. Whether the list of registered chunks still
// finds room depends on the blocks that are being written at that moment.
async function assertServesWithoutDisk(server, documents, expected, problem) {
  const put = await server.ask('PUT', '/v1/chunks', { texts: documents });
  if (put.status !== 200) assert.match(put.body.error.message, problem);
  assert.equal((await server.get('/v1/chunks')).data.length, documents.length);
  const { disk } = await server.until(
    (stats) => stats.disk.writes_dropped > 0,
    'the disk refuses a block',
  );
  assert.match(disk.last_error, problem);
  await assertAllReused(server, documents, expected);
}

describe('a disk that takes no more', () => {
  test('because files may not grow', async (t) => {
    const folder = temporaryFolder(t);
    const documents = makeDocuments(makeRandom(makeSeed(t)), 4, 60);
    const expected = await expectedAnswers(t, documents);
    const launcher = ['bash', '-c', 'ulimit -f 100; exec "$0" "$@"'];
    const server = await start(t, folder, { launcher });
    await assertServesWithoutDisk(server, documents, expected, /File too large/);
    assert.equal((await server.stop()).code, 0);
    assert.deepEqual(blockFiles(folder), []);
  });

  test('because it is full', async (t) => {
    const folder = smallDisk(t, '128k');
    if (!folder) return t.skip('mounting a small disk is not permitted here');
    const documents = makeDocuments(makeRandom(makeSeed(t)), 4, 60);
    const expected = await expectedAnswers(t, documents);
    const server = await start(t, folder);
    await assertServesWithoutDisk(server, documents, expected, /No space left/);
    assert.equal((await server.stop()).code, 0);
    assert.equal((await inspect(folder)).code, 0);
  });

  test('because its budget is small', async (t) => {
    const folder = temporaryFolder(t);
    const documents = makeDocuments(makeRandom(makeSeed(t)), 6, 60);
    const expected = await expectedAnswers(t, documents);
    const server = await start(t, folder, { args: ['--cache-disk', '600K'] });
    await server.put('/v1/chunks', { texts: documents });
    const { disk } = await server.until((stats) => stats.disk.evictions > 0, 'blocks are evicted');
    assert.ok(disk.bytes <= 600 * 1024);
    await assertAllReused(server, documents, expected);
  });
});
