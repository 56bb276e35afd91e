// What the program does when no model is named: it serves, checks and measures the one it carries.
import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync } from 'node:fs';
import { describe, test } from 'node:test';

import { filesBelow, temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';
import { Server } from './support/server.mjs';
import { sampleModel } from './support/settings.mjs';

const kFailure = 1;

const measure = ['bench', 'quality', '--kind', 'single_fact', '--policy', 'none'];
const report = ['--threads', '1', '--format', 'json'];

describe('with the sample model', () => {
  const assertWhole = (folder) => {
    const files = filesBelow(folder, /./);
    assert.equal(files.length, 1, `${files}`);
    assert.match(files[0], /\/sample_model-[0-9a-f]{12}\/spolia-sample\.gguf$/);
    assert.ok(readFileSync(files[0]).equals(readFileSync(sampleModel)));
    return files[0];
  };

  test('quality is measured on it', async (t) => {
    const env = { SPOLIA_CACHE: temporaryFolder(t) };
    const { code, stdout, stderr } = await run([...measure, '--count', '40', ...report], { env });
    assert.equal(code, 0, stderr);
    const { model, rows } = JSON.parse(stdout);
    assert.equal(model.name, 'spolia-sample');
    assert.equal(model.random, false);
    assert.ok(rows[0].accuracy.all >= 0.85, `dense: ${rows[0].accuracy.all}`);
    assertWhole(env.SPOLIA_CACHE);
  });

  test('its file is written once, and again where it is damaged', async (t) => {
    const env = { SPOLIA_CACHE: temporaryFolder(t) };
    const check = async () => {
      const { code, stdout } = await run(['doctor', ...report], { env });
      assert.equal(code, 0, stdout);
      const { figures } = JSON.parse(stdout).findings.find((each) => each.check === 'model');
      assert.equal(figures.random, false);
      return assertWhole(env.SPOLIA_CACHE);
    };
    const file = await check();
    const { ino } = statSync(file);
    await check();
    assert.equal(statSync(file).ino, ino, 'a file that is whole stays');
    truncateSync(file, 1000);
    await check();
  });

  test('it is served', async (t) => {
    const env = { SPOLIA_CACHE: temporaryFolder(t) };
    const args = ['--chunk-min', '16'];
    const server = await Server.start(t, { named: [], args, env });
    const { data } = await server.get('/v1/models');
    assert.equal(data[0].id, 'spolia-sample');
    const { stdout } = await run(['tasks', '--kind', 'single_fact', '--count', '10']);
    let nRight = 0;
    for (const line of stdout.trim().split('\n')) {
      const { chunks, questions } = JSON.parse(line);
      const content = [...chunks, questions[0].question].map((text) => ({ type: 'text', text }));
      const answer = await server.post('/v1/chat/completions', {
        messages: [{ role: 'user', content }],
        max_tokens: 4,
        temperature: 0,
      });
      nRight += answer.choices[0].message.content.trim() === questions[0].answer;
    }
    assert.ok(nRight >= 8, `${nRight} of 10`);
  });

  test('a cache folder that can not be written is named', async () => {
    const env = { SPOLIA_CACHE: '/dev/null/none' };
    const { code, stderr } = await run([...measure, '--count', '1', ...report], { env });
    assert.equal(code, kFailure);
    assert.match(stderr, /\/dev\/null\/none.*SPOLIA_CACHE/);
  });
});
