// Agents that read the same text and each other's messages.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { join } from 'node:path';
import { copyFileSync } from 'node:fs';

import { run } from './support/program.mjs';
import { Server } from './support/server.mjs';
import { model, multiAgentExample, packages, sampleModel } from './support/settings.mjs';

async function bench(...args) {
  const { code, stdout, stderr } = await run(
    ['bench', 'agents', '--threads', '1', '--format', 'json', ...args],
    { timeout: 480_000 },
  );
  assert.equal(code, 0, stderr);
  const report = Object.values(JSON.parse(stdout))[0];
  return { ...report, ways: Object.fromEntries(report.rows.map((row) => [row.policy, row])) };
}

test('anchors answer as dense does', { skip: sampleModel === '' }, async () => {
  const { ways, model: info } = await bench('--part', 'answers', '--tasks', '12');
  assert.equal(info.random, false);
  for (const [kind, { accuracy }] of Object.entries(ways.dense.tasks)) {
    assert.ok(accuracy >= 0.9, `dense, ${kind}: ${accuracy}`);
    const ours = ways.anchors.tasks[kind].accuracy;
    assert.ok(ours >= accuracy - 0.03, `${kind}: ${ours} against ${accuracy}`);
  }
  assert.ok(ways.anchors.all.top1 >= 0.98, `${ways.anchors.all.top1}`);
  assert.ok(ways.anchors.all.kl.mean <= 0.05, `${ways.anchors.all.kl.mean}`);
  assert.ok(ways.anchors.judges.top1 >= 0.95, `${ways.anchors.judges.top1}`);
  assert.ok(ways.anchors.all.reusing_calls >= 0.7, `${ways.anchors.all.reusing_calls}`);
  // Else it would show nothing.
  assert.ok(ways.none.all.top1 <= 0.9, `${ways.none.all.top1}`);
  assert.equal(ways.prefix.all.top1, 1);
});

test('times are measured in every way', async () => {
  const shape = ['--agents', '3', '--prefix', '64', '--input', '96', '--message', '64'];
  const { ways, model: info } = await bench(
    ...['--part', 'times', '--times-model', model, '--rounds', '2', ...shape],
  );
  assert.equal(info.random, true);
  assert.deepEqual(Object.keys(ways), ['dense', 'prefix', 'none', 'cacheblend', 'anchors', 'kvcomm']);
  const prompts = ways.dense.all.tokens.prompt;
  for (const [name, { all, agents }] of Object.entries(ways)) {
    assert.equal(agents.length, 3);
    assert.equal(all.calls, 6);
    assert.equal(all.tokens.prompt, prompts, name);
    assert.ok(all.prompt_ms.mean > 0);
  }
  assert.equal(ways.dense.all.token_reuse, 0);
  const { exact, anchored, blended } = ways.anchors.agents[2].tokens;
  assert.ok(exact + anchored + blended > 0.6 * ways.anchors.agents[2].tokens.prompt);
  assert.ok(ways.anchors.pool.anchors > 0);
});

test('wrong options are refused', async () => {
  const { code, stderr } = await run(['bench', 'agents', '--agents', '6']);
  assert.equal(code, 2);
  assert.match(stderr, /--agents/);
});

test('the example runs a team', { skip: sampleModel === '' }, async () => {
  const { code, stdout, stderr } = await run([sampleModel], { command: multiAgentExample });
  assert.equal(code, 0, stderr);
  const judge = stdout.split('\n').find((line) => line.startsWith('judge'));
  assert.match(judge, / B +anchors /);
  const usage = await run([], { command: multiAgentExample });
  assert.equal(usage.code, 2);
});

test('the same team over HTTP', { skip: sampleModel === '' }, async (t) => {
  const server = await Server.start(t, {
    named: [],
    args: ['--fidelity', 'fast', '--policy', 'anchors', '--chunk-min', '8'],
  });
  // Where its import of the client finds it.
  const script = join(packages, 'multi_agent.mjs');
  copyFileSync(new URL('../../examples/multi_agent.mjs', import.meta.url), script);
  const { code, stdout, stderr } = await run([script, `${server.url}/v1`], { command: process.execPath });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^judge \| .* B \| anchors /m);
  const { body } = await server.ask('GET', '/v1/cache/stats');
  assert.ok(body.anchors.count >= 5, JSON.stringify(body.anchors));
});
