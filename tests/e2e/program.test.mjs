// The program's other faces: what stops it from starting, help, inspect, doctor, the example.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';

import { blockFiles, temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';
import { makeDocuments, makeRandom } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { example, model } from './support/settings.mjs';

const kFailure = 1;
const kUsage = 2;

async function assertRefused(args, code, pattern, options) {
  const result = await run(args, options);
  assert.equal(result.code, code, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
  assert.match(result.stderr, pattern);
  assert.ok(!/terminate called|Segmentation|what\(\)/.test(result.stderr), result.stderr);
  return result;
}

describe('serve does not start', () => {
  const serve = (...args) => ['serve', '--model', model, '--port', '0', ...args];

  // Before it says that it listens.
  async function assertNoModel(path, code, pattern) {
    const { stdout, stderr } = await assertRefused(serve('--model', path), code, pattern);
    assert.doesNotMatch(stdout + stderr, /listening/);
  }

  test('with what is no model', async (t) => {
    const folder = temporaryFolder(t);
    await assertNoModel(join(folder, 'missing.gguf'), kFailure, /missing\.gguf does not exist/);
    await assertNoModel(folder, kUsage, /spolia_e2e/);
    const noModel = join(folder, 'text.gguf');
    writeFileSync(noModel, 'This is no model.');
    await assertNoModel(noModel, kFailure, /text\.gguf/);
  });

  test('with a truncated model', async (t) => {
    const cut = join(temporaryFolder(t), 'cut.gguf');
    for (const size of [0, 3, 100, 20_000, 600_000]) {
      copyFileSync(model, cut);
      truncateSync(cut, size);
      await assertNoModel(cut, kFailure, /cut\.gguf/);
    }
  });

  test('with wrong flags', async (t) => {
    const folder = temporaryFolder(t);
    await assertRefused(serve('--no-such-flag'), kUsage, /no-such-flag/);
    await assertRefused(['no-such-command'], kUsage, /./);
    await assertRefused([], kUsage, /./);
    await assertRefused(serve('--port', '70000'), kUsage, /--port/);
    await assertRefused(serve('--ctx-size', 'many'), kUsage, /--ctx-size/);
    await assertRefused(serve('--fidelity', 'best'), kUsage, /--fidelity/);
    await assertRefused(serve('--policy', 'magic'), kUsage, /--policy/);
    await assertRefused(serve('--recompute-ratio', '0'), kUsage, /--recompute-ratio/);
    await assertRefused(serve('--cache-ram', '12X'), kUsage, /--cache-ram/);
    await assertRefused(serve('--chunk-min', '64', '--chunk-max', '32'), kUsage, /chunk/);
    await assertRefused(serve('--config', join(folder, 'none.toml')), kUsage, /none\.toml/);
    const env = { SPOLIA_PORT: 'high' };
    await assertRefused(['serve', '--model', model], kUsage, /SPOLIA_PORT/, { env });
    const config = join(folder, 'spolia.toml');
    writeFileSync(config, '[server]\nport = 0\nprot = 1\n');
    await assertRefused(['serve', '--config', config], kUsage, /spolia\.toml.*3/);
  });

  test('with a context that memory does not hold', async () => {
    const args = serve('--ctx-size', '2000000000', '--parallel', '8');
    await assertRefused(args, kFailure, /8 sequences of 2000000000 .*--ctx-size or --parallel/);
  });

  test('on a port in use', async (t) => {
    const other = createServer().listen(0, '127.0.0.1');
    t.after(() => other.close());
    await once(other, 'listening');
    const { port } = other.address();
    await assertRefused(serve('--port', `${port}`), kFailure, new RegExp(`${port}.*--port`));
  });

  test('for other machines without keys', async () => {
    await assertRefused(serve('--host', '0.0.0.0'), kUsage, /--api-key-file.*--allow-open/);
  });

  test('with a cache folder that can not be', async (t) => {
    const file = join(temporaryFolder(t), 'file');
    writeFileSync(file, '');
    await assertRefused(serve('--cache-dir', file), kFailure, /block directory.*file/);
  });
});

describe('serve', () => {
  test('ends at once on SIGTERM while idle, and with grace while busy', async (t) => {
    const idle = await Server.start(t);
    assert.deepEqual(await idle.stop('SIGINT'), { code: 0, signal: null });

    const busy = await Server.start(t);
    const request = { prompt: 'The otter', max_tokens: 200, ignore_eos: true };
    const answer = busy.post('/v1/completions', request);
    await busy.until(({ sequences }) => sequences.busy === 1, 'the request runs');
    const [whole, end] = await Promise.all([answer, busy.stop()]);
    assert.equal(whole.usage.completion_tokens, 200);
    assert.deepEqual(end, { code: 0, signal: null });
  });

  test('takes settings from file and environment', async (t) => {
    const config = join(temporaryFolder(t), 'spolia.toml');
    writeFileSync(
      config,
      '[model]\nparallel = 3\n[server]\ncors_origin = "http://a.test"\n' +
        '[reuse.agents.writer]\nfidelity = "fast"\n',
    );
    const server = await Server.start(t, {
      args: ['--config', config],
      env: { SPOLIA_PARALLEL: '2' },
    });
    const { headers } = await server.ask('GET', '/health');
    assert.equal(headers.get('access-control-allow-origin'), 'http://a.test');
    assert.equal((await server.stats()).sequences.total, 2);
    const ask = (agent) =>
      server.ask('POST', '/v1/chat/completions', {
        messages: [{ role: 'user', content: 'Hello' }],
        max_tokens: 1,
        spolia: { agent },
      });
    assert.equal((await ask('writer')).body.spolia.fidelity, 'fast');
    const misspelt = await ask('wirter');
    assert.equal(misspelt.status, 400);
    assert.match(misspelt.body.error.message, /"wirter".* has writer;/);
  });
});

test('help', async () => {
  const all = await run(['--help']);
  assert.equal(all.code, 0);
  const commands = [...all.stdout.matchAll(/^ {2}([a-z]+) {3,}/gm)].map(([, name]) => name);
  for (const known of ['serve', 'demo', 'bench', 'doctor', 'inspect']) {
    assert.ok(commands.includes(known), `${known} is not in the help`);
  }
  for (const command of commands) {
    const { code, stdout, stderr } = await run([command, '--help']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`Usage: spolia ${command}`));
    assert.equal(stderr, '');
  }
  const version = await run(['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /\d+\.\d+\.\d+/);
});

test('bench index', async () => {
  await assertRefused(['bench', 'index', '--vectors', 'many'], kUsage, /--vectors/);
  const small = ['--vectors', '300,6000', '--dims', '32', '--queries', '50', '--text-mb', '1',
    '--lookups', '1000'];
  const { code, stdout } = await run(['bench', 'index', ...small, '--format', 'json']);
  assert.equal(code, 0);
  const report = JSON.parse(stdout);
  assert.equal(report.bench, 'index');
  assert.deepEqual(report.rows.map(({ vectors }) => vectors), [300, 6000]);
  assert.equal(report.rows[0].recall, 1);
  assert.ok(report.rows[1].recall >= 0.9, `recall ${report.rows[1].recall}`);
  const { embed, embed_and_index: indexed, settled } = report.text_mb_per_s;
  assert.ok([embed, indexed, settled, report.lookups_per_s].every((figure) => figure > 0));
  const text = await run(['bench', 'index', ...small]);
  assert.equal(text.code, 0);
  assert.match(text.stdout, /recall@8/);
  assert.match(text.stdout, /300 x 32/);
});

test('inspect', async (t) => {
  const folder = temporaryFolder(t);
  await assertRefused(['inspect', join(folder, 'none')], kFailure, /does not exist/);
  await assertRefused(['inspect'], kUsage, /PATH/);
  await assertRefused(['inspect', folder, '--format', 'xml'], kUsage, /format/);
  const empty = await run(['inspect', folder, '--format', 'json']);
  assert.deepEqual([empty.code, JSON.parse(empty.stdout)], [0, []]);

  const server = await Server.start(t, { args: ['--cache-dir', folder] });
  const documents = makeDocuments(makeRandom(1), 2);
  const { data } = await server.put('/v1/chunks', { texts: documents });
  await server.until(({ disk }) => disk.blocks === 2, 'blocks are on disk');
  const { code, stdout } = await run(['inspect', folder, '--verify', '--format', 'json']);
  assert.equal(code, 0);
  assert.ok(JSON.parse(stdout).every(({ verified }) => verified));
  const seen = JSON.parse(stdout).map(({ key, rows, provenance }) => ({ key, rows, provenance }));
  const expected = data.map(({ key, tokens }) => ({ key, rows: tokens, provenance: 'isolated' }));
  const byKey = (a, b) => (a.key < b.key ? -1 : 1);
  assert.deepEqual(seen.sort(byKey), expected.sort(byKey));
  const text = await run(['inspect', folder]);
  assert.equal(text.code, 0);
  assert.ok(data.every(({ key }) => text.stdout.includes(key)));
  assert.doesNotMatch(text.stdout, /verified/);
  const verified = await run(['inspect', folder, '--verify']);
  assert.equal(verified.code, 0);
  assert.match(verified.stdout, /2 blocks.*\nverified: .* all rows of each block are whole\n$/);

  await server.stop();
  const [damaged] = blockFiles(folder);
  truncateSync(damaged, 5000);
  await assertRefused(['inspect', folder], kFailure, /\.kv: /);
  const report = await assertRefused(['inspect', folder, '--verify'], kFailure, /\.kv: /);
  assert.match(report.stdout, /verified: 1 of 2 files are damaged/);
  await assertRefused(['inspect', damaged], kFailure, /\.kv: /);
});

test('inspect passes over files that are being written', async (t) => {
  const folder = temporaryFolder(t);
  for (const name of ['incoming', 'set_aside']) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'a.kv'), 'half of a block');
  }
  const { code, stdout } = await run(['inspect', folder, '--verify', '--format', 'json']);
  assert.deepEqual([code, JSON.parse(stdout)], [0, []]);
});

test('doctor', async (t) => {
  const folder = temporaryFolder(t);
  const args = ['doctor', '--model', model, '--cache-dir', folder, '--format', 'json'];
  const { code, stdout } = await run([...args, '--ctx-size', '1024', '--threads', '1']);
  assert.equal(code, 0);
  const report = JSON.parse(stdout);
  assert.equal(report.doctor, 'ok');
  const verdicts = Object.fromEntries(
    report.findings.map(({ check, verdict }) => [check, verdict]),
  );
  assert.equal(verdicts.model, 'ok');
  assert.equal(verdicts.reuse, 'ok');
  assert.equal(verdicts['cache folder'], 'ok');

  const broken = await run(['doctor', '--model', join(folder, 'none'), '--format', 'json']);
  assert.equal(broken.code, kFailure);
  assert.equal(JSON.parse(broken.stdout).doctor, 'failed');
});

test('the example', async () => {
  const { code, stdout } = await run([model], { command: example });
  assert.equal(code, 0);
  const count = (name, line) => Number(new RegExp(`(\\d+) ${name}`).exec(line)[1]);
  const [fast, exact] = ['fast', 'exact'].map((title) =>
    stdout.split('\n').find((line) => line.startsWith(title)),
  );
  assert.ok(count('reused', fast) > 0, fast);
  assert.equal(count('reused', exact), 0, exact);
  const usage = await run([], { command: example });
  assert.equal(usage.code, kUsage);
});
