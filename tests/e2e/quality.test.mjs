// `spolia bench quality` from tasks, of a file or generated, to a report and a picture.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';
import { makeDocuments, makeRandom } from './support/prompts.mjs';
import { model } from './support/settings.mjs';

const kFailure = 1;
const kUsage = 2;

function writeTasks(folder, n) {
  const random = makeRandom(5);
  const lines = Array.from({ length: n }, (_, i) =>
    JSON.stringify({
      kind: 'made_up',
      seed: i,
      chunks: makeDocuments(random, 3),
      questions: [
        { question: 'What do they say?', answer: 'nothing', cross: true },
        { kind: 'other', question: 'And what not?', answer: 'all' },
      ],
    }),
  );
  const path = join(folder, 'tasks.jsonl');
  writeFileSync(path, lines.join('\n'));
  return path;
}

const benchGenerated = (...args) =>
  run(['bench', 'quality', '--model', model, '--threads', '1', ...args]);
const bench = (tasks, ...args) => benchGenerated('--tasks', tasks, ...args);

test('policies are compared with dense', async (t) => {
  const folder = temporaryFolder(t);
  const picture = join(folder, 'quality.svg');
  const policies = ['none', 'full', 'epic:head_rows=4'].flatMap((name) => ['--policy', name]);
  const args = [...policies, '--tokens', '4', '--format', 'json', '--picture', picture];
  const { code, stdout, stderr } = await bench(writeTasks(folder, 3), ...args);
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  const { setup, model: info, rows } = JSON.parse(stdout);
  assert.equal(setup.prompts, 6);
  assert.equal(info.random, true);
  assert.deepEqual(
    rows.map(({ policy }) => policy),
    ['dense', 'none', 'full', 'epic'],
  );
  const [dense, none, full, epic] = rows;
  for (const row of rows) {
    assert.equal(row.prompts, 6);
    assert.equal(row.tasks.other.prompts, 3);
    const { exact, reused, recomputed, computed } = row.tokens;
    const sum = exact + reused + recomputed + computed;
    assert.ok(Math.abs(sum - dense.tokens.computed) < 1e-3, `${row.policy}: ${sum}`);
  }
  assert.deepEqual(dense.kl, { mean: 0, p99: 0, max: 0 });
  assert.deepEqual(dense.agreement, { tokens: 1, answers: 1 });
  assert.equal(none.tokens.recomputed, 0);
  assert.ok(none.tokens.reused > 0);
  assert.equal(full.recomputed_share, 1);
  assert.ok(full.kl.max < 1e-3, `${full.kl.max}`);
  assert.ok(none.kl.mean > full.kl.mean);
  assert.ok(epic.recomputed_share > 0 && epic.recomputed_share < 1);
  assert.match(readFileSync(picture, 'utf8'), /^<svg [^]*>epic<[^]*<\/svg>\n$/);
});

test('tables have a row for each setting of the sweep', async (t) => {
  const tasks = writeTasks(temporaryFolder(t), 1);
  const args = ['--tokens', '1', '--limit', '1', '--format', 'markdown'];
  const { code, stdout } = await bench(tasks, ...args);
  assert.equal(code, 0);
  const blend = 'cacheblend:layer=1,ratio=0.15';
  for (const name of ['dense', 'none', 'epic:head_rows=16', blend, 'full']) {
    assert.equal(stdout.split(`\n| ${name} |`).length, 3, `${name} in both tables`);
  }
});

test('generated tasks are asked as those of a file', async (t) => {
  const made = ['two_hops', 'multi_turn', 'long'].flatMap((kind) => ['--kind', kind]);
  made.push('--chunks', '3', '--sentences', '5', '--seed', '9');
  const asked = ['--policy', 'none', '--tokens', '2', '--format', 'json'];
  const generated = await benchGenerated(...made, '--count', '2', ...asked);
  assert.equal(generated.code, 0, generated.stderr);
  const { setup, rows } = JSON.parse(generated.stdout);
  assert.deepEqual(setup.tasks, {
    kinds: ['two_hops', 'multi_turn', 'long'],
    count: 2,
    chunks: 3,
    sentences: 5,
    seed: 9,
  });
  assert.equal(setup.prompts, 6);
  for (const { tasks } of rows) {
    assert.deepEqual(Object.keys(tasks).sort(), ['long', 'multi_turn', 'two_hops']);
    assert.ok(Object.values(tasks).every(({ prompts }) => prompts === 2));
  }
  assert.ok(rows[1].tokens.reused > 0);

  const { code, stdout } = await run(['tasks', ...made, '--count', '6']);
  assert.equal(code, 0);
  const path = join(temporaryFolder(t), 'tasks.jsonl');
  writeFileSync(path, stdout);
  const read = JSON.parse((await bench(path, ...asked)).stdout);
  assert.equal(read.setup.tasks, path);
  const figures = ({ policy, accuracy, kl, top1, tokens }) => ({
    policy,
    accuracy,
    kl,
    top1,
    tokens,
  });
  assert.deepEqual(read.rows.map(figures), rows.map(figures));
});

test('generated tasks that can not be are refused', async () => {
  const refused = async (pattern, ...args) => {
    const { code, stderr } = await benchGenerated(...args);
    assert.equal(code, kUsage, args.join(' '));
    assert.match(stderr, pattern);
  };
  await refused(/long.*at most/, '--chunks', '20');
  await refused(/three_hops.*more chunks/, '--kind', 'three_hops', '--chunks', '1');
  await refused(/--kind/, '--kind', 'four_hops');
  await refused(/--tasks/, '--tasks', '-', '--count', '2');
  await refused(/--tasks/, '--limit', '2');
});

test('what is wrong is said before anything is measured', async (t) => {
  const folder = temporaryFolder(t);
  const tasks = writeTasks(folder, 1);
  const refused = async (code, pattern, ...args) => {
    const result = await bench(...args);
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stdout}${result.stderr}`);
    assert.match(result.stderr, pattern);
  };
  const broken = join(folder, 'broken.jsonl');
  writeFileSync(broken, `${readFileSync(tasks, 'utf8')}\n{"kind": "k"}`);
  await refused(kUsage, /broken\.jsonl:2: .*chunks/, broken);
  await refused(kFailure, /none\.jsonl/, join(folder, 'none.jsonl'));
  await refused(kUsage, /magic.*unknown name/, tasks, '--policy', 'magic');
  await refused(kUsage, /ratio must be/, tasks, '--policy', 'cacheblend:ratio=much');
  await refused(kUsage, /layer 99/, tasks, '--policy', 'cacheblend:layer=99');
  await refused(kUsage, /\.svg or \.png/, tasks, '--picture', join(folder, 'quality.pdf'));
  const nowhere = join(folder, 'none', 'quality.svg');
  await refused(kFailure, /can't write .*quality\.svg/, tasks, '--picture', nowhere);
  const picture = join(folder, 'quality.svg');
  await refused(kFailure, /none\.jsonl/, join(folder, 'none.jsonl'), '--picture', picture);
  assert.ok(!existsSync(picture), 'what is tried beforehand leaves nothing behind');
});

test('calibrate saves a check layer that bench quality takes', async (t) => {
  const folder = temporaryFolder(t);
  const tasks = writeTasks(folder, 2);
  const calibrate = (...args) =>
    run(['calibrate', '--model', model, '--tasks', tasks, '--threads', '1', ...args]);
  const { code, stdout, stderr } = await calibrate('--cache-dir', folder, '--format', 'json');
  assert.equal(code, 0, stderr);
  const report = JSON.parse(stdout);
  assert.equal(report.setup.prompts, 4);
  assert.deepEqual(
    report.rows.map(({ layer }) => layer),
    [1, 2, 3],
  );
  for (const { auc, rank_correlation: correlation } of report.rows) {
    assert.ok(auc > 0 && auc <= 1, `${auc}`);
    assert.ok(correlation >= -1 && correlation <= 1, `${correlation}`);
  }
  assert.equal(report.rows.at(-1).auc, 1);
  const best = Math.max(...report.rows.slice(0, 2).map(({ auc }) => auc));
  assert.equal(report.check_layer === null, best < 0.6, 'none where all are near chance');

  const path = /Saved to (.*)/.exec(stderr)[1];
  const saved = JSON.parse(readFileSync(path, 'utf8'));
  assert.equal(saved.check_layer, report.check_layer ?? 1);
  writeFileSync(path, JSON.stringify({ ...saved, check_layer: 2 }));
  const args = ['--tokens', '1', '--limit', '1', '--format', 'json'];
  const policies = ['--policy', 'cacheblend:ratio=0.1', '--policy', 'cacheblend:layer=2,ratio=0.1'];
  const compared = await bench(tasks, ...args, ...policies, '--cache-dir', folder);
  assert.equal(compared.code, 0, compared.stderr);
  const { setup, rows } = JSON.parse(compared.stdout);
  assert.equal(setup.check_layer, 2);
  assert.deepEqual(rows[1].kl, rows[2].kl);

  const doctor = await run(['doctor', '--model', model, '--cache-dir', folder]);
  assert.match(doctor.stdout, /check layer +2, calibrated/, 'the same cache folder as a server has');

  writeFileSync(path, '{');
  const warned = await bench(tasks, ...args, ...policies, '--cache-dir', folder);
  assert.equal(warned.code, 0);
  assert.match(warned.stderr, /check layer .* damaged/);
  assert.equal(JSON.parse(warned.stdout).setup.check_layer, 1);
});
