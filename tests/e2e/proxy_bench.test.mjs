// `spolia bench proxy`: its parts in its smallest setting. What it says, and that figures are figures;
// nothing about how large they are.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';

import { run } from './support/program.mjs';
import { model } from './support/settings.mjs';

const kQuick = ['--rounds', '1', '--seconds', '1', '--proxy-threads', '1'];

async function bench(...args) {
  const line = ['bench', 'proxy', ...kQuick, '--format', 'json', ...args];
  const { code, stdout, stderr } = await run(line, { timeout: 300_000 });
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout);
  assert.equal(report.bench, 'proxy');
  assert.ok(report.machine.cpu && report.version);
  return report;
}

const installed = (name, flag) => spawnSync(name, [flag]).error === undefined;
const nginx = installed('nginx', '-v') || installed('/usr/sbin/nginx', '-v');
const wrk = installed('wrk', '-v');
const ways = nginx ? ['bare', 'nginx', 'spolia'] : ['bare', 'spolia'];

// The rows of one measure, one for each server.
function rowsOf({ rows }, part, measure) {
  const found = rows.filter((row) => row.part === part && row.measure === measure);
  assert.deepEqual(found.map(({ server }) => server), ways, `${part}, ${measure}`);
  return found;
}

function assertPositive(...figures) {
  assert.ok(figures.every((figure) => Number.isFinite(figure) && figure > 0), figures.join(' '));
}

function assertNginxNamed({ peers, skipped }, part) {
  if (nginx) {
    const [peer] = peers.filter(({ name }) => name === 'nginx');
    assert.match(peer.version, /^nginx\/\d/);
  } else {
    assert.ok(skipped.some((each) => each.part === part && /nginx/.test(each.reason)));
  }
}

test('overhead', async () => {
  const report = await bench('--part', 'overhead', '--rate', '200', '--connections', '4');
  assertNginxNamed(report, 'overhead');
  for (const { latency_us: seen, added_us: added } of rowsOf(report, 'overhead', 'latency')) {
    assertPositive(seen.median, seen.p90, seen.p99);
    assert.ok(seen.median <= seen.p90 && seen.p90 <= seen.p99);
    assert.ok([added.median, added.p90, added.p99].every(Number.isFinite));
  }
  const requests = wrk ? rowsOf(report, 'overhead', 'requests') : [];
  for (const { requests_per_s: seen, vs_peer: ratio } of requests) {
    assertPositive(seen.min, seen.median, seen.max, ...(nginx ? [ratio.nginx] : []));
  }
});

test('streams', async () => {
  const small = ['--streams', '40', '--few-streams', '2', '--events', '20'];
  const report = await bench('--part', 'streams', ...small);
  assertNginxNamed(report, 'streams');
  for (const row of rowsOf(report, 'streams', 'memory')) {
    assert.equal(row.streams, 40);
    assert.ok(Number.isFinite(row.bytes_per_stream));
  }
  for (const measure of ['memory', 'lateness']) {
    for (const { lateness_us: late } of rowsOf(report, 'streams', measure)) {
      assertPositive(late.median, late.p99);
      assert.ok(late.median <= late.p99);
    }
  }
});

test('first token through llama-server', async () => {
  const small = ['--chunks', '3', '--chunk-tokens', '64', '--question-tokens', '8', '--threads', '1'];
  const { rows, peers } = await bench('--part', 'ttft', '--model', model, ...small);
  const [alone, none, blended] = rows;
  assert.equal(alone.policy, 'llama-server --cache-reuse 64');
  assert.deepEqual([none.policy, blended.policy], ['none', 'cacheblend']);
  for (const row of rows) {
    assertPositive(row.ttft_ms.min, row.ttft_ms.median, row.vs_peer[alone.policy]);
    assert.ok(row.tokens.prompt >= 3 * 64, JSON.stringify(row.tokens));
  }
  // Composed behind another order of the documents, and taken by llama-server.
  for (const row of [none, blended]) {
    assert.ok(row.tokens.cached >= 2 * 64, JSON.stringify(row));
  }
  assert.match(peers[0].command, /llama-server .*--cache-reuse 64/);
});

test('programs that are missing', async () => {
  const report = await bench('--part', 'overhead', '--rate', '100', '--connections', '2',
    '--nginx', 'no-such-nginx', '--wrk', 'no-such-wrk');
  assert.deepEqual(report.rows.map(({ server, measure }) => [server, measure]),
    [['bare', 'latency'], ['spolia', 'latency']]);
  assert.deepEqual(report.peers, []);
  const reasons = report.skipped.map(({ reason }) => reason).join('\n');
  assert.match(reasons, /no-such-nginx \(Debian: nginx-light\)/);
  assert.match(reasons, /no-such-wrk \(Debian: wrk\)/);
});

test('wrong flags', async () => {
  for (const wrong of [['--part', 'all'], ['--rounds', '0'], ['--format', 'xml']]) {
    const { code, stderr } = await run(['bench', 'proxy', ...wrong]);
    assert.equal(code, 2, wrong.join(' '));
    assert.match(stderr, new RegExp(wrong[0]));
  }
});
