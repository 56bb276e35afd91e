// docs/http.md against the server: the fields of requests and receipts.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Server } from './support/server.mjs';

// Names in the first column of the table under a heading.
function documented(heading) {
  const text = readFileSync(new URL('../../docs/http.md', import.meta.url), 'utf8');
  const section = text.split(/^## /m).find((part) => part.startsWith(heading));
  assert.ok(section, heading);
  return [...section.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell]) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  );
}

test('fields of the spolia object', async (t) => {
  const server = await Server.start(t);
  const request = { prompt: 'The otter', max_tokens: 1 };
  const { status, body } = await server.ask('POST', '/v1/completions', {
    ...request,
    spolia: { unknown: 1 },
  });
  assert.equal(status, 400);
  const known = /there are (.*)$/.exec(body.error.message)[1].split(', ');
  assert.deepEqual(documented('The request').sort(), known.sort());

  const { spolia } = await server.post('/v1/completions', request);
  const fields = Object.entries(spolia).flatMap(([name, value]) =>
    typeof value === 'object' && !Array.isArray(value)
      ? Object.keys(value).map((inner) => `${name}.${inner}`)
      : [name],
  );
  // Where nothing was decided there is no guard, and where nothing was asked for nothing retrieved.
  const absent = ['guard', 'retrieved'];
  assert.deepEqual(documented('The response').sort(), [...fields, ...absent].sort());
});
