// Fidelity "guarded": calibrated in idle time, then served from blocks, and measured afterwards.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { temporaryFolder } from './support/folder.mjs';
import { run } from './support/program.mjs';
import { makeDocuments, makeRandom, makeSeed, makeText, ragRequest } from './support/prompts.mjs';
import { Server } from './support/server.mjs';
import { model } from './support/settings.mjs';

// Fewer samples allow nothing.
const kSamplesNeeded = 249;
const kDocuments = 4;
const kCheapest = 'cacheblend:ratio=0.15,layer=1';
// Wide enough for random weights, whose likeliest tokens are near ties.
const kBudget = ['--max-kl', '50', '--min-agreement', '0'];

function makeRequester(t, server) {
  const random = makeRandom(makeSeed(t));
  const documents = makeDocuments(random, kDocuments, 60);
  // The first words are too few for a chunk, and part each prompt from those before.
  return (rest = {}) => {
    const parts = [makeText(random, 5), ...random.shuffled(documents)];
    return server.post(
      '/v1/chat/completions',
      ragRequest(parts, makeText(random, 3), { max_tokens: 1, ...rest }),
    );
  };
}

const compared = (server) =>
  server.until((stats) => stats.shadow_queue_depth === 0, 'all shadows have run');

async function calibrate(server, ask) {
  const first = await ask();
  assert.equal(first.spolia.fidelity, 'guarded');
  assert.equal(first.spolia.guard, undefined, 'nothing was there to compose');
  await server.untilEncoded(kDocuments);
  for (let i = 1; ; ++i) {
    assert.ok(i < 3 * kSamplesNeeded, 'never calibrated');
    const { spolia } = await ask();
    if (spolia.guard?.rung === kCheapest) return i;
    // A dearer rung may be ready first, where a request was in the way of the cheapest one's shadow.
    if (!spolia.guard?.rung) {
      assert.equal(spolia.guard?.fallback, 'uncalibrated');
      assert.equal(spolia.tokens.shifted + spolia.tokens.blended, 0);
    }
    if (i % 10 === 0) await compared(server); // fewer wait than the queue holds
  }
}

test('a guarded request is served from blocks once shadows allow it', async (t) => {
  const folder = temporaryFolder(t);
  const args = [...kBudget, '--shadow-time', '1', '--shadow-share', '1', '--cache-dir', folder];
  const server = await Server.start(t, { args });
  const ask = makeRequester(t, server);
  assert.ok((await calibrate(server, ask)) > kSamplesNeeded);

  const served = await ask();
  assert.equal(served.spolia.guard.rung, kCheapest);
  assert.ok(served.spolia.guard.predicted_kl >= 0);
  assert.ok(served.spolia.tokens.shifted > 0);
  await compared(server);
  const { spolia } = await server.get(`/v1/receipts/${served.id}`);
  assert.deepEqual(spolia.tokens, served.spolia.tokens);
  assert.ok(spolia.guard.measured_kl >= 0);
  assert.equal(typeof spolia.guard.same_first_token, 'boolean');
  assert.equal((await server.ask('GET', '/v1/receipts/chatcmpl-none')).status, 404);

  const strict = await ask({ spolia: { max_kl: 0 } });
  // Dearer rungs may still be learning.
  const { fallback } = strict.spolia.guard;
  assert.ok(['over_budget', 'uncalibrated'].includes(fallback), fallback);
  assert.ok((await server.metric(`spolia_fallbacks_total{reason="${fallback}"}`)) >= 1);
  await server.stop();

  const doctor = ['doctor', '--model', model, '--cache-dir', folder, '--format', 'json'];
  const report = JSON.parse((await run([...doctor, ...kBudget])).stdout);
  const [{ figures }] = report.findings.filter(({ check }) => check === 'guard');
  assert.equal(figures.rung, kCheapest);
  assert.deepEqual(figures.serves, { max_risk: null, max_doubt: null });
  assert.ok(figures.samples >= kSamplesNeeded);

  const again = await Server.start(t, { args });
  const askAgain = makeRequester(t, again);
  await askAgain();
  await again.untilEncoded(kDocuments);
  assert.ok((await askAgain()).spolia.guard.rung, 'what was learned outlives the process');
});
