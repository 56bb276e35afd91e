// Chunks that are known in another version.
import assert from 'node:assert/strict';
import { readdirSync, truncateSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';
import { makeDocuments, makeRandom, makeSeed, ragRequest, tokensAccounted } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { model, sampleModel } from './support/settings.mjs';

const editWord = (text, at) => {
  const words = text.split(' ');
  words[Math.floor(words.length * at)] = 'entirely';
  return words.join(' ');
};

test('an edited document takes what it shares with the one that is known', async (t) => {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, 3);
  const server = await Server.start(t);
  await server.put('/v1/chunks', { texts: documents });
  const edited = documents.map((text) => editWord(text, 0.6));
  const ask = (texts, fidelity) =>
    server.post('/v1/chat/completions', ragRequest(texts, 'What is it?', { spolia: { fidelity, policy: 'epic' } }));

  const answer = await ask(edited, 'fast');
  const { tokens, chunks, misses } = answer.spolia;
  assert.equal(tokensAccounted(answer), tokens.prompt);
  assert.ok(tokens.donor > tokens.prompt / 4, JSON.stringify(answer.spolia));
  assert.equal(tokens.shifted, 0);
  assert.equal(chunks.hit, 0);
  assert.deepEqual(misses.map(({ reason }) => reason), ['edited']);

  const exact = await ask(edited.map((text) => editWord(text, 0.3)), 'exact');
  assert.equal(exact.spolia.tokens.donor, 0);

  const off = await Server.start(t, { args: ['--donors', 'false'] });
  await off.put('/v1/chunks', { texts: documents });
  const without = await off.post(
    '/v1/chat/completions',
    ragRequest(edited, 'What is it?', { spolia: { fidelity: 'fast', policy: 'epic' } }),
  );
  assert.equal(without.spolia.tokens.donor, 0);
});

test('they come back for those whose they are, whatever became of the file', async (t) => {
  const random = makeRandom(makeSeed(t));
  const [ours, theirs] = makeDocuments(random, 2);
  const folder = temporaryFolder(t);
  const start = () => Server.start(t, { args: ['--cache-dir', folder] });
  const ask = (server, text, salt) =>
    server.post('/v1/chat/completions', ragRequest([text], 'What is it?', {
      cache_salt: salt,
      spolia: { fidelity: 'fast', policy: 'epic' },
    }));
  const first = await start();
  await ask(first, ours, 'ours');
  await ask(first, theirs, 'theirs');
  await first.until(({ donors, disk }) => donors.count >= 2 && disk.blocks >= 2, 'both are kept');
  await first.stop();
  for (const [at, damage] of [[0.3, () => {}], [0.6, truncateSync], [0.9, unlinkSync]]) {
    const [file] = readdirSync(folder).filter((name) => name.endsWith('.donors'));
    damage(join(folder, file));
    const server = await start();
    await server.until(({ donors }) => donors.waiting === 0, 'all blocks were looked at');
    const foreign = await ask(server, editWord(ours, at), `nobody ${at}`);
    assert.equal(foreign.spolia.tokens.donor, 0);
    for (const [text, salt] of [[ours, 'ours'], [theirs, 'theirs']]) {
      const { tokens } = (await ask(server, editWord(text, at), salt)).spolia;
      assert.ok(tokens.donor > 0, `${salt}: ${JSON.stringify(tokens)}`);
    }
    await server.stop();
  }
});

test('answers are those of dense compute, whatever was edited', { skip: sampleModel === '' }, async () => {
  const { code, stdout, stderr } = await run(
    ['bench', 'semantic', '--part', 'answers', '--tasks', '4', '--threads', '1', '--format', 'json'],
    { timeout: 480_000 },
  );
  assert.equal(code, 0, stderr);
  const { rows, model: info } = JSON.parse(stdout).answers;
  assert.equal(info.random, false);
  const row = (edit, way) => rows.find((each) => each.edit === edit && each.way === way);
  for (const edit of new Set(rows.map((each) => each.edit))) {
    assert.ok(row(edit, 'adaptive').as_dense >= 0.95, `${edit}: ${row(edit, 'adaptive').as_dense}`);
    assert.ok(row(edit, 'adaptive').row_reuse <= row(edit, 'none').row_reuse);
    assert.equal(row(edit, 'dense').row_reuse, 0);
  }
  assert.ok(row('5 % of words', 'adaptive').row_reuse >= 0.5);
  assert.equal(row('look-alike', 'adaptive').row_reuse, 0);
  // Else the above would show nothing.
  assert.ok(row('another fact', 'as it is').accuracy <= 0.2);
  assert.ok(row('negated', 'none').as_dense <= 0.6);
});

test('times are measured', async () => {
  const { code, stdout, stderr } = await run([
    ...['bench', 'semantic', '--part', 'times', '--times-model', model, '--threads', '1'],
    ...['--documents', '2', '--document-tokens', '96', '--rounds', '1', '--format', 'json'],
  ]);
  assert.equal(code, 0, stderr);
  const { rows } = JSON.parse(stdout).times;
  assert.deepEqual(rows.map(({ way }) => way), ['dense', 'none', 'cacheblend', 'adaptive']);
  assert.equal(rows[0].token_reuse, 0);
  assert.ok(rows[1].token_reuse > 0.5, JSON.stringify(rows));
  assert.ok(rows.every(({ first_token_ms: ms }) => ms > 0));
});
