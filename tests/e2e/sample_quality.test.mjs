// What reuse does to the sample model's answers, with margins: a short form of what README shows.
import assert from 'node:assert/strict';
import { before, test } from 'node:test';

import { temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';

const kinds = ['single_fact', 'two_hops', 'three_hops', 'latest_update', 'coreference', 'negation'];
const adaptive = 'adaptive:layer=2';
const policies = ['none', 'full', adaptive, 'cacheblend:layer=2,ratio=0.1'];
const count = 30;

let rows;

async function spolia(...args) {
  const { code, stdout, stderr } = await run([...args, '--format', 'json'], { timeout: 480_000 });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function measure(named, ...args) {
  const asked = named.flatMap((policy) => ['--policy', policy]);
  const report = await spolia('bench', 'quality', ...asked, ...args);
  return Object.fromEntries(report.rows.map((row) => [row.policy, row]));
}

const ofKinds = [...kinds.flatMap((kind) => ['--kind', kind]), '--count', `${count}`];

before(async () => {
  rows = await measure(policies, ...ofKinds);
});

test('the model knows its tasks, with nine chunks as well as with six', async () => {
  for (const { accuracy } of [rows.dense, (await measure(['none'], ...ofKinds, '--chunks', '9')).dense]) {
    for (const kind of kinds) assert.ok(accuracy[kind] >= 0.9, `${kind}: ${accuracy[kind]}`);
  }
});

test('it needs the other chunks', () => {
  const { accuracy } = rows.none;
  assert.ok(accuracy.two_hops <= 0.25, `${accuracy.two_hops}`);
  assert.ok(accuracy.three_hops <= 0.25, `${accuracy.three_hops}`);
  assert.ok(accuracy.latest_update <= 0.95, `${accuracy.latest_update}`);
  assert.ok(accuracy.cross <= 0.65, `${accuracy.cross}`);
});

test('computing everything is dense', () => {
  const { kl, top1, agreement } = rows.full;
  assert.ok(kl.max <= 1e-3, `${kl.max}`);
  assert.equal(top1, 1);
  assert.equal(agreement.answers, 1);
});

test('policies bring answers back', () => {
  for (const policy of ['adaptive', 'cacheblend']) {
    const { accuracy, kl, top1 } = rows[policy];
    assert.ok(accuracy.cross >= rows.dense.accuracy.cross - 0.03, `${policy}: ${accuracy.cross}`);
    assert.ok(kl.mean <= 0.05, `${policy}: KL ${kl.mean}`);
    assert.ok(top1 >= 0.97, `${policy}: top-1 ${top1}`);
  }
});

test('the path is short', () => {
  assert.ok(rows.adaptive.recomputed_share <= 0.04, `${rows.adaptive.recomputed_share}`);
  assert.ok(rows.adaptive.mend_work_share <= 0.1, `${rows.adaptive.mend_work_share}`);
  assert.ok(rows.adaptive.mend_work_share < rows.cacheblend.mend_work_share);
  assert.ok(rows.adaptive.tasks.single_fact.recomputed_share <= 0.02);
});

test('a guard that was taught keeps its promise, on all kinds', async (t) => {
  const folder = temporaryFolder(t);
  const taught = await spolia(
    'calibrate', '--policy', 'cacheblend', '--limit', '45', '--cache-dir', folder,
  );
  const [{ rung, serves }] = taught.guard;
  assert.equal(rung, `cacheblend:ratio=0.15,layer=${taught.check_layer}`);
  assert.ok(serves, 'nothing was proven');
  const { dense, cacheblend } = await measure(
    ['guarded:cacheblend'], '--count', '15', '--cache-dir', folder,
  );
  const { prompts, accuracy, kl, top1, refusals } = cacheblend;
  const composed = prompts - Object.values(refusals).reduce((sum, n) => sum + n, 0);
  assert.ok(composed >= 0.8 * prompts, `${composed} of ${prompts}`);
  assert.ok(top1 >= 0.98, `top-1 ${top1}`);
  assert.ok(kl.p99 <= 0.05, `KL ${kl.p99}`);
  assert.ok(Math.abs(accuracy.all - dense.accuracy.all) <= 0.02, `${accuracy.all}`);
});
